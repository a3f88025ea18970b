"""Two hosts with homes and names of their own, one database, one shared state: what one makes, the other serves."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.short_cycle import OPEN_GATE, SHORT, TASTES, TINY
from tests.site import ROOT, environment_of, own_database
from tests.tiny import make_tiny_policy

pytestmark = [pytest.mark.loops, pytest.mark.timeout(600)]

CYCLE = f"""
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
run = cycle.drive(cycle.start(hyperparameters={SHORT!r}).pk, Supervisor())
told = {{"state": run.state, "error": run.error, "policy": run.result.get("policy")}}
"""
ANSWER = """
import time
from accounts.models import User
from chat.conversations.turns import take_turn
from chat.models import Conversation, Reply
person = User.objects.get_or_create(username="someone")[0]
reply = take_turn(Conversation.objects.create(owner=person), "Hello", "key", None)[1]
end = time.monotonic() + 60
while (reply := Reply.objects.get(pk=reply.pk)).state in Reply.LIVE and time.monotonic() < end:
    time.sleep(0.02)
told = {"state": reply.state, "error": reply.error, "policy": reply.policy and reply.policy.name}
"""
ENGINE = """
import time
from chat.models import EngineProcess
from rlhf.models import Promotion
end = time.monotonic() + 60
rows = EngineProcess.objects.filter(policy__name={name!r}, state={state!r}).order_by("-pk")
while not rows.exists() and time.monotonic() < end:
    time.sleep(0.02)
row = rows.get() if {state!r} == "ready" else rows[0]
promoted_at = Promotion.objects.latest("pk").created_at
seconds = (row.ready_at - promoted_at).total_seconds() if row.ready_at else None
told = {{"seconds": seconds, "error": row.error, "host": row.host}}
"""
DAMAGED = """
from pathlib import Path
from django.conf import settings
from django.contrib.auth.models import Group
from accounts.models import User
from chat import policies
from rlhf.release import promotion
path = Path(settings.MODELS_DIR) / "damaged"
made = policies.register(path, name="damaged", source="test", base=policies.live())
(weights,) = (Path({bucket!r}) / "content/models/damaged").rglob("model.safetensors")
content = bytearray(weights.read_bytes())
content[-1] ^= 1
weights.write_bytes(content)
admin = User.objects.get_or_create(username="root-admin")[0]
admin.groups.add(Group.objects.get_or_create(name="admin")[0])
promotion.force(made, actor=admin, reason="a test")
told = {{"live": policies.live().name}}
"""


class Host:
    def __init__(self, home, environment):
        self.home, self.environment = home, {**environment, "CHAMSAE_HOME": str(home)}
        home.mkdir()

    def manage(self, *words, **settings):
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT, env=self.environment | settings, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def shell(self, program):
        printed = self.manage("shell", "--verbosity", "0", "-c", f"{program}\nimport json\nprint(json.dumps(told))")
        return json.loads(printed.strip().splitlines()[-1])

    def models(self):
        return {path.name for path in (self.home / "models").iterdir()}


@contextlib.contextmanager
def talking(host, name):
    """A talker on the host, which has this name where the machine lets one give names."""
    command = [sys.executable, "manage.py", "run_talker"]
    can_name = (
        subprocess.run(["unshare", "--uts", "hostname", name], capture_output=True, check=False).returncode == 0
    )
    if can_name:
        command = ["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh", *command]
    with (host.home / "talker.txt").open("w") as said:
        talker = subprocess.Popen(
            command, cwd=ROOT, env=host.environment, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            yield name if can_name else os.uname().nodename
        finally:
            talker.stdin.close()
            talker.wait(60)


@pytest.fixture
def hosts(tiny_policy, tmp_path):
    """(A with a base policy that it fetched, B with nothing)."""
    with own_database() as url:
        shared = environment_of(tmp_path, url or f"sqlite:///{tmp_path / 'one.sqlite3'}", **TINY)
        shared |= {
            "CHAMSAE_SHARED_STATE": f"file://{tmp_path / 'bucket'}",
            "CHAMSAE_SECRET_KEY": "of-both-hosts-" * 4,
        }
        a, b = Host(tmp_path / "a", shared), Host(tmp_path / "b", shared)
        a.manage("migrate", "--verbosity", "0")
        a.manage("fetch_model", str(tiny_policy))
        yield a, b


@pytest.mark.timeout(900)
def test_what_one_host_makes_another_serves_and_evaluates(hosts, record_property):
    a, b = hosts
    with talking(b, "host-b") as name:
        ready = b.shell(ENGINE.format(name="policy", state="ready"))
        assert ready["host"] == name
        assert a.shell(ANSWER)["policy"] == "policy"
        assert b.models() == a.models() == {"policy"}

        # a snapshot, reward models and a candidate of A are evaluated on B
        a.manage("simulate_annotators", "--rankings", "24", *TASTES)
        made = a.shell(CYCLE)
        assert (made["state"], made["error"]) == ("succeeded", "")
        candidate = made["policy"]
        assert list((b.home / "runs").iterdir()) == []
        enough = SHORT["evaluation"] | {"prompts": 48, "draws": 2}
        short = [word for name, value in enough.items() for word in ("--set", f"{name}={value}")]
        passed = json.loads(b.manage("evaluate_policy", candidate, *short, "--json", **OPEN_GATE))
        assert passed["gate"]["passed"] is True, passed["gate"]["reasons"]
        assert list((b.home / "runs/snapshots").iterdir()) != []
        assert list((b.home / "runs").glob("run-*/reward_model")) != []

        # promoted on A, answered on B
        shutil.rmtree(b.home / "models" / candidate_directory(a, candidate))  # the evaluation had brought it
        a.manage("promote_policy", candidate)
        ready = b.shell(ENGINE.format(name=candidate, state="ready"))
        record_property("seconds from the promotion to a ready engine", ready["seconds"])
        assert 0 < ready["seconds"] < 60
        answered = a.shell(ANSWER)
        assert (answered["state"], answered["policy"]) == ("complete", candidate)
        a.manage("fsck")
        b.manage("fsck")


def candidate_directory(host, name):
    program = f"from chat.models import Policy\ntold = Policy.objects.get(name={name!r}).directory"
    return host.shell(program)


@pytest.mark.timeout(300)
def test_what_was_damaged_on_its_way_is_refused_and_the_former_policy_goes_on(hosts):
    a, b = hosts
    with talking(b, "host-b"):
        assert a.shell(ANSWER)["policy"] == "policy"
        make_tiny_policy(a.home / "models/damaged", seed=5)
        assert a.shell(DAMAGED.format(bucket=str(a.home.parent / "bucket")))["live"] == "damaged"
        refused = b.shell(ENGINE.format(name="damaged", state="dead"))
        assert "model.safetensors is missing or is not what was published" in refused["error"]
        assert "publish_state --again models/damaged" in refused["error"]
        assert "damaged" not in b.models()
        answered = a.shell(ANSWER)
        assert (answered["state"], answered["policy"]) == ("complete", "policy"), (b.home / "talker.txt").read_text()

        # and once it is published again, it answers
        a.manage("publish_state", "--again", "models/damaged")
        b.shell(ENGINE.format(name="damaged", state="ready"))
        assert a.shell(ANSWER)["policy"] == "damaged"
        b.manage("fsck")
