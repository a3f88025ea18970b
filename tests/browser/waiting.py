"""A site with canned text on which a trained candidate waits for three comparisons by people."""

from tests.browser.tour import Stop

PROGRAM = "from tests.browser.waiting import prepare; prepare()"
STOPS = [
    Stop("waiting-training", "/training/", "admin"),
    Stop("waiting-run", "/training/runs/1/", "admin"),
    Stop("waiting-rank", "/rank/", "annotator"),
]
"""The pages that look otherwise there."""


def prepare() -> None:
    from django.conf import settings

    from accounts import demo
    from chat import policies
    from chat.models import Policy
    from feedback import seed
    from rlhf.release import promotion
    from rlhf.runs import cycle
    from rlhf.runs.supervisor import Supervisor
    from tests.rlhf import feedback_rows, waiting_cycles
    from tests.rlhf.policy_directories import write_policy

    demo.create_accounts()
    seed.load()
    base = policies.register(write_policy(settings.MODELS_DIR / "base"), name="base", source="test")
    promotion.make_first_live(base)
    feedback_rows.plenty(feedback_rows.annotator("mina"))
    run = cycle.drive(waiting_cycles.evaluated(settings, comparisons=3).pk, Supervisor())
    assert run.is_waiting, run.error
    Policy.objects.update(is_scripted=True, languages=["en"])  # from here on canned text answers
