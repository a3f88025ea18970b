"""`manage.py project`: what the pages do, by command."""

import json

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEntry
from feedback.models import Project


def run(capsys, *arguments):
    call_command("project", *map(str, arguments), "--json")
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_text("prompt,reply_1,reply_2\nIs the sea salty?,Yes.,No.\nIs it deep?,Yes.,No.\n", "utf-8")
    return file


def test_a_project_from_its_file_to_its_progress(admin, person, prompts, tmp_path, capsys):
    person("kim")
    people = tmp_path / "people.csv"
    people.write_text("username,role,languages\nkim,annotator,en\n", "utf-8")
    common = ("--replies", "pasted", "--overlap", 2, "--by", "boss")
    made = run(capsys, "create", "course", "--title", "Course", "--prompts", prompts, "--people", people, *common)
    assert (made["project"], made["prompts"], made["tasks"]) == ("course", 2, 2)
    assert AuditEntry.objects.get(verb="project.create").actor == admin
    assert run(capsys, "stop", "course")["state"] == "stopped"
    assert run(capsys, "clone", "course", "--to", "next", "--with-people")["project"] == "next"
    assert [row["project"] for row in run(capsys, "list")["projects"]] == ["site", "course", "next"]
    told = run(capsys, "progress", "course")
    assert (told["waiting"], told["wanted"], told["judgements"]) == (2, 4, 0)


def test_wrong_lines_are_named_and_nothing_is_made(db, prompts, capsys):
    prompts.write_text("prompt,reply_1,reply_2\nx,Same,Same\n", "utf-8")
    with pytest.raises(CommandError, match="Line 2") as failed:
        call_command("project", "create", "course", "--prompts", str(prompts), "--replies", "pasted")
    assert failed.value.returncode == 1
    assert not Project.objects.filter(key="course").exists()


@pytest.mark.parametrize(
    "arguments",
    [("stop",), ("stop", "none"), ("create", "x", "--prompts", "/none"), ("create", "x"), ("list", "--by", "none")],
)
def test_what_cannot_be_is_a_usage_error(db, arguments):
    with pytest.raises(CommandError) as failed:
        call_command("project", *arguments)
    assert failed.value.returncode == 2
