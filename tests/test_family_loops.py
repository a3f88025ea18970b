"""The whole loop with models of other families: fetched, talked with, judged, trained, promoted, rolled back."""

import contextlib
import json

import pytest

from tests.families import make_folder
from tests.person import Person
from tests.short_cycle import OPEN_GATE, TASTES, TINY
from tests.site import running_site
from tests.whole_loop import CYCLE, most_probable_answers, shell, talk, talk_until

PATIENCE_S = 240.0
"""torch and transformers are imported by each engine that starts."""
LEARNS = {**TINY, **OPEN_GATE, "CHAMSAE_MESSAGES_PER_MINUTE": "600", "CHAMSAE_TRAIN_NICENESS": "0"}


@pytest.mark.loops
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("family", "has_file"), [("qwen3", True), ("gemma3", False), ("gpt-neox", False)])
def test_the_loop_closes(family, has_file, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    source = make_folder(tmp_path / f"tiny-{family}", family)
    with (
        running_site(home, source, from_nothing=True, patience_s=PATIENCE_S, **LEARNS) as site,
        contextlib.closing(Person(site.url, "chatter")) as chatter,
    ):
        key = json.loads(site.manage("create_api_key", "chatter", "--name", "loop", "--json"))["key"]
        base = talk(chatter).policy
        assert json.loads(site.manage("simulate_annotators", "--rankings", "24", *TASTES, "--json"))["simulated"]
        before = most_probable_answers(site, key)

        ended = shell(site, CYCLE)
        assert (ended["state"], ended["error"]) == ("succeeded", "")
        candidate = ended["policy"]
        assert len(list(home.glob("models/*/model.safetensors"))) == 2
        assert len(list(home.glob("models/*/policy.gguf"))) == (2 if has_file else 0)
        if not ended["gate"]["passed"]:  # a random model learns by chance alone
            site.manage("promote_policy", candidate, "--force", "--reason", "a test", "--by", "admin")
        talk_until(chatter, candidate, PATIENCE_S)
        assert most_probable_answers(site, key) != before

        back = json.loads(site.manage("rollback_policy", "--by", "admin", "--reason", "a test", "--json"))
        assert back["policy"] == base
        talk_until(chatter, base, PATIENCE_S)
        assert most_probable_answers(site, key) == before
        site.manage("fsck")
