"""A site with canned text on which a trained candidate waits for three comparisons by people, and another one answers
a share of the chats."""

from typing import TYPE_CHECKING

from tests.browser.tour import Stop

if TYPE_CHECKING:
    from chat.models import Policy

PROGRAM = "from tests.browser.waiting import prepare; prepare()"
STOPS = [
    Stop("waiting-training", "/training/", "admin"),
    Stop("waiting-run", "/training/runs/1/", "admin"),
    Stop("waiting-rank", "/rank/", "annotator"),
    Stop("waiting-share", "/training/policies/heron-2/", "admin"),
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
    from tests.rlhf import canaries, feedback_rows, waiting_cycles
    from tests.rlhf.policy_directories import write_policy

    demo.create_accounts()
    seed.load()
    base = policies.register(write_policy(settings.MODELS_DIR / "base"), name="base", source="test")
    promotion.make_first_live(base)
    feedback_rows.plenty(feedback_rows.annotator("mina"))
    run = cycle.drive(waiting_cycles.evaluated(settings, comparisons=3).pk, Supervisor())
    assert run.is_waiting, run.error
    _share(canaries.candidate(base, settings.MODELS_DIR), base)
    Policy.objects.update(is_scripted=True, languages=["en"])  # from here on canned text answers


def _share(candidate: "Policy", base: "Policy") -> None:
    """Ten people, of whom four in five prefer the candidate."""
    from rlhf.release import canary
    from tests.rlhf import canaries

    canaries.decide(candidate, base)
    begun = canaries.begun(candidate)
    for number in range(10):
        canaries.choose(begun, f"person-{number}", "lose" if number % 5 == 2 else "win", hours=number)
    canaries.choose(begun, "newcomer", "win", hours=24 * canaries.DAYS_AGO - 1)
    canary.check()
