"""Where one model of a server elsewhere answers for whatever policy is live, nothing is trained or promoted."""

import pytest

from chat import policies
from rlhf import tasks
from rlhf.errors import CannotPromote, ServedElsewhere
from rlhf.models import Run
from rlhf.release import promotion
from rlhf.runs import cycle, preflight
from tests.rlhf.policy_directories import write_policy

pytestmark = pytest.mark.django_db


@pytest.fixture
def elsewhere(settings):
    settings.CHAT_ENGINE_URLS, settings.CHAT_ENGINE_MODEL = ["http://gpu:8000/v1"], "big-model"


def test_no_cycle_starts_and_the_page_says_why(judged, elsewhere, settings, admin, client):
    settings.RLHF_CYCLE_AFTER = 1
    with pytest.raises(ServedElsewhere):
        cycle.start()
    assert tasks.start_due_cycle() is None
    assert not Run.objects.exists()
    assert "big-model of http://gpu:8000/v1, which this site can't train" in preflight.check().refusals[0]
    client.force_login(admin)
    assert "big-model" in client.get("/training/").content.decode()


def test_nothing_is_promoted_not_even_by_force(base_policy, elsewhere, settings, admin):
    directory = write_policy(settings.MODELS_DIR / "candidate", mark="candidate")
    candidate = policies.register(directory, name="candidate", source="test", base=base_policy)
    with pytest.raises(CannotPromote, match="big-model"):
        promotion.force(candidate, actor=admin, reason="to see")
    assert policies.live() == base_policy
