"""Commands on a database that is new, or of another version."""

import json
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db.migrations.recorder import MigrationRecorder

from base.commands import sentence
from chat.errors import BadPolicy, NoLivePolicy

OURS = [name for name, app in get_commands().items() if (settings.BASE_DIR / str(app)).is_dir()]
ENDLESS = {"run_site", "run_web", "run_talker", "run_worker", "run_beat"}
"""They run until they are stopped."""


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_command_has_examples_and_each_that_ends_has_json(name):
    command = load_command_class(get_commands()[name], name)
    text = command.create_parser("manage.py", name).format_help()
    assert f"manage.py {name}" in text.split("examples:")[1]
    assert ("--json" in text) != (name in ENDLESS)


def test_the_first_command_on_a_new_home_makes_the_tables(tmp_path):
    environment = {**os.environ, "CHAMSAE_HOME": str(tmp_path), "DATABASE_URL": ""}
    command = [sys.executable, "manage.py", "fsck", "--json", "--settings", "config.settings"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.django_db
def test_a_database_of_another_version_waits_for_a_person(capsys):
    MigrationRecorder.Migration.objects.filter(app="rlhf").delete()
    with pytest.raises(CommandError, match=r"type: CHAMSAE_HOME=\S+ \S*python\S* \S+/manage\.py migrate") as refused:
        call_command("fsck", "--json")
    assert refused.value.returncode == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "migrations_pending"


def test_an_error_is_said_with_its_sentence_and_its_detail():
    assert sentence(NoLivePolicy()).endswith("manage.py fetch_model.")
    assert sentence(BadPolicy("policy-3: torn")).endswith("(policy-3: torn)")
    assert sentence(ValueError("plain")) == "plain"
