"""What tests of the whole loop do by the front door: talk, run a cycle, ask what the live policy says."""

import asyncio
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.short_cycle import SHORT
from tests.site import ROOT

CYCLE = f"""
import json
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
run = cycle.drive(cycle.start(hyperparameters={SHORT!r}).pk, Supervisor())
print(json.dumps({{"state": run.state, "error": run.error, **run.result}}))
"""
QUESTIONS = ("What is a star?", "Do you like music?")


def shell(site, program):
    """Runs a program on the site's state and returns the JSON that it printed."""
    return json.loads(command(site.environment, "shell", "--verbosity", "0", "-c", program).strip().splitlines()[-1])


def command(environment, *words):
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def talk(person, text="Hello"):
    conversation = person.new_conversation()

    async def ask():
        async with person.chat(conversation) as chat:
            return await asyncio.wait_for(chat.ask(text), 30)

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests may have a loop in this one
        heard = thread.submit(lambda: asyncio.run(ask())).result()
    assert heard.state == "complete"
    return heard


def talk_until(person, policy, patience_s=30.0):
    """Talks until this policy answers: a promotion reaches the engine within seconds, not at once."""
    deadline = time.monotonic() + patience_s
    while (heard := talk(person)).policy != policy:
        assert time.monotonic() < deadline, f"{heard.policy} still answers, not {policy}"
    return heard


def most_probable_answers(site, key):
    """What the live policy says to two questions where nothing is left to chance."""
    answers = []
    for question in QUESTIONS:
        asked = {
            "model": "live",
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": 24,
        }
        headers = {"Authorization": f"Bearer {key}"}
        response = httpx.post(f"{site.url}/v1/chat/completions", json=asked, headers=headers, timeout=30)
        assert response.status_code == 200, response.text
        answers.append(response.json()["choices"][0]["message"]["content"])
    return answers
