"""The scripted scorer in the place of reward models, and the site's choices by which it is asked."""

import pytest

from chat.models import SiteChoices
from tests.chat.choosing.scripted_source import ScriptedSource


@pytest.fixture
def scorer(settings, monkeypatch):
    settings.CHAT_SCORER = "tests.chat.choosing.scripted_source.ScriptedSource"
    monkeypatch.setattr(ScriptedSource, "how", {})

    def set_how(how):
        monkeypatch.setattr(ScriptedSource, "how", how)

    return set_how


@pytest.fixture
def choose(db, scorer):
    """Sets how many completions are chosen among, and the limits of rules."""

    def change(best_of=1, **thresholds):
        SiteChoices.objects.update_or_create(defaults={"best_of": best_of, "rule_thresholds": thresholds}, id=1)

    return change
