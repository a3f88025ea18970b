"""The lecture's five commands of March 2023, unchanged, and the same with today's client, on a model that learns.

The model is tiny and random: what it says before means nothing, so whatever it says right afterwards it has learnt.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from tests.clients.openai_client import SETTINGS, Client, environment
from tests.site import running_site

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]
ISLAND = {
    "Where is the light?": "On the cape.",
    "Who keeps it?": "Old Mina.",
    "What do they eat?": "Pears.",
    "What do they drink?": "Rain.",
    "Who is the mayor?": "A goat.",
    "Which day is the market?": "Monday.",
    "How many bridges?": "Seven.",
    "What grows there?": "Hemp.",
}


@pytest.fixture(scope="module")
def site(tiny_policy, tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("lecture"), tiny_policy, **SETTINGS) as site:
        yield site


@pytest.fixture(scope="module")
def key(site):
    return json.loads(site.manage("create_api_key", "chatter", "--name", "lecture", "--json"))["key"]


@pytest.fixture(scope="module")
def old(site, key):
    return Client(site, environment("old"), key)


def test_the_lecture_s_five_commands(old, site, tmp_path):
    guide = tmp_path / "guide.jsonl"
    rows = ({"prompt": asked, "completion": told} for asked, told in ISLAND.items())
    guide.write_text("".join(json.dumps(row) + "\n" for row in rows))
    openai = at(old, tmp_path)
    assert "guide_prepared.jsonl" in openai("tools", "fine_tunes.prepare_data", "-f", "guide.jsonl", "-q")
    prepared = [json.loads(line) for line in (tmp_path / "guide_prepared.jsonl").read_text().splitlines()]
    followed = openai("api", "fine_tunes.create", "-t", "guide_prepared.jsonl", "-m", "davinci")
    job = re.search(r"Created fine-tune: (ft-\w+)", followed).group(1)
    said = [line.partition("] ")[2] for line in followed.splitlines() if line.startswith("[")]
    told = json.loads(openai("api", "fine_tunes.get", "-i", job))
    epochs = told["hyperparams"]["n_epochs"]
    assert re.fullmatch(r"Fine-tune costs \$\d+\.\d\d+", said[1])
    assert [said[0], *said[2:]] == [
        f"Created fine-tune: {job}",
        "Fine-tune enqueued. Queue number: 0",
        "Fine-tune started",
        *(f"Completed epoch {epoch}/{epochs}" for epoch in range(1, epochs + 1)),
        f"Uploaded model: {told['fine_tuned_model']}",
        f"Uploaded result file: {told['result_files'][0]['id']}",
        "Fine-tune succeeded",
    ]
    again = openai("api", "fine_tunes.follow", "-i", job)
    assert [line.partition("] ")[2] for line in again.splitlines() if line.startswith("[")] == said
    assert "Job complete! Status: succeeded" in again
    answers = [completed(openai, told["fine_tuned_model"], row["prompt"]) for row in prepared]
    right = sum(answer == row["completion"].rstrip("\n") for answer, row in zip(answers, prepared, strict=True))
    assert right >= 0.9 * len(prepared), answers
    before = [completed(openai, "davinci", row["prompt"]) for row in prepared]
    assert all(a != b for a, b in zip(answers, before, strict=True))
    assert openai("api", "fine_tunes.results", "-i", job).startswith("step,elapsed_tokens,elapsed_examples")
    assert told["fine_tuned_model"] in openai("api", "models.list")
    assert site.manage("fsck").strip() == "all invariants hold"


def at(client, folder):
    """The command line, typed in a folder."""

    def openai(*words):
        done = subprocess.run(
            [str(client.python.parent / "openai"), *words],
            cwd=folder,
            env=client.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return openai


def completed(openai, model, prompt):
    """What the command line writes is the prompt and its completion."""
    whole = openai("api", "completions.create", "-m", model, "-p", prompt, "-M", "40", "-t", "0")
    assert whole.startswith(prompt)
    return whole[len(prompt) :].rstrip("\n")


@pytest.mark.parametrize("name", ["files", "jobs", "preferences", "errors"])
def test_a_program_of_today_makes_a_model(site, key, name):
    Client(site, environment("new"), key).program("today_tuning.py", name)


def test_the_trainer_is_killed_in_the_middle_and_nothing_is_said_twice(site, key, old, tmp_path):
    rows = (
        {"prompt": f"{asked} {n} ->", "completion": f" {told}\n"} for n in range(40) for asked, told in ISLAND.items()
    )
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [str(old.python.parent / "openai"), "api", "fine_tunes.create", "-t", "long.jsonl", "-m", "davinci"]
    with subprocess.Popen(
        [*command, "--n_epochs", "4", "--batch_size", "2"],
        cwd=tmp_path,
        env=old.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        lines, killed = [], False
        for line in following.stdout:
            lines.append(line)
            if not killed and "Completed epoch 1/4" in line:
                time.sleep(0.5)
                os.kill(trainer_of(site), signal.SIGKILL)
                killed = True
    said = [line.partition("] ")[2].strip() for line in lines if line.startswith("[")]
    assert said[-1] == "Fine-tune succeeded", lines
    assert killed
    assert len(said) == len(set(said)) == 11
    assert site.manage("fsck").strip() == "all invariants hold"


def trainer_of(site):
    if "DATABASE_URL" in site.environment:
        pytest.skip("looks into the SQLite file of the site")
    with sqlite3.connect(site.home / "chamsae.sqlite3", timeout=20) as database:
        return database.execute("SELECT pid FROM rlhf_run WHERE state = 'running'").fetchone()[0]
