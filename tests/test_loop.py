"""The whole loop on a tiny random model, by the front door: talk, rank, learn, gate, talk again, roll back; and its
twin, in which the gate refuses."""

import contextlib
import json
import re
import time

import pytest

from tests.person import Person
from tests.short_cycle import OPEN_GATE, SHORT, TASTES, TINY
from tests.site import running_site
from tests.whole_loop import CYCLE, command, most_probable_answers, shell, talk, talk_until


def rank_one(annotator):
    """A ranking by a person, as the page's form sends it."""
    deadline = time.monotonic() + 60  # the worker puts tasks in stock every half minute
    while not (places := re.findall(r'name="(place-\d+)"', (page := annotator.get("/rank/").text))):
        assert time.monotonic() < deadline, page[:3000]
        time.sleep(1)
    (address,) = set(re.findall(r'action="(/rank/\d+/submit/)"', page))
    ranks = {name: str(rank) for rank, name in enumerate(dict.fromkeys(places), start=1)}
    annotator.post(address, **ranks)
    assert len(ranks) == 4
    assert "/withdraw/" in annotator.get("/rank/mine/").text


@pytest.mark.timeout(400)
def test_the_loop_closes_and_its_twin_is_refused(tiny_policy, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with (
        running_site(home, tiny_policy, from_nothing=True, **TINY) as site,
        contextlib.closing(Person(site.url, "chatter")) as chatter,
        contextlib.closing(Person(site.url, "annotator")) as annotator,
    ):
        key = json.loads(site.manage("create_api_key", "chatter", "--name", "loop", "--json"))["key"]
        base = talk(chatter).policy
        judged = json.loads(site.manage("simulate_annotators", "--rankings", "24", *TASTES, "--json"))
        assert judged["simulated"] is True
        before = most_probable_answers(site, key)

        refused = shell(site, CYCLE)
        assert (refused["state"], refused["error"]) == ("succeeded", "")
        assert refused["gate"]["passed"] is False
        assert refused["gate"]["reasons"]
        assert talk(chatter).policy == base

        candidate = refused["policy"]
        again = {**site.environment, **OPEN_GATE}
        enough = SHORT["evaluation"] | {"prompts": 48, "draws": 2}  # for a lower bound that is above 0
        short = [word for name, value in enough.items() for word in ("--set", f"{name}={value}")]
        passed = json.loads(command(again, "evaluate_policy", candidate, *short, "--json"))
        assert passed["gate"]["passed"] is True, passed["gate"]["reasons"]
        rank_one(annotator)  # not before: a person's ranking beside them is nothing that their program can judge
        site.manage("promote_policy", candidate)
        talk_until(chatter, candidate)
        assert most_probable_answers(site, key) != before

        back = json.loads(site.manage("rollback_policy", "--by", "admin", "--reason", "a test", "--json"))
        assert back["policy"] == base
        talk_until(chatter, base)
        assert most_probable_answers(site, key) == before
        site.manage("fsck")
