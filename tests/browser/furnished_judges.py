"""What people and programs judged on the furnished site: votes between policies, a file from elsewhere, and trust."""

from datetime import timedelta
from pathlib import Path

PEOPLE = ("wren", "heron", "robin", "siskin", "dipper", "magpie")
"""The last of them clicks at random."""
CHOICES = ("left", "left", "right", "left", "tie", "left", "both_bad", "left", "right", "left")
SIDES = (
    "# Rainbows\n\n- **Light** bends in drops.\n- It is thrown back.\n- It bends again.",
    "Light bends in drops of rain.",
)


def furnish_judges() -> None:
    trust()
    votes()
    imports()
    hasty()
    ratings()
    probing()


def trust() -> None:
    """Six people who judged the same replies, one without looking; an answer that is known, and what was decided."""
    from accounts.models import User
    from feedback.models import TrustFinding
    from feedback.trust import assessment, gold
    from tests.feedback.trust import simulated_people
    from tests.rlhf import feedback_rows

    moderator, annotator = (User.objects.get(username=name) for name in ("moderator", "annotator"))
    world = simulated_people.world(2, simulated_people.random_answers, honest=5, attackers=1, overlap=4)
    people = simulated_people.store(world, PEOPLE)
    for number, ranking in enumerate(people[0].rankings.order_by("pk")[:12]):
        for other in ranking.task.rankings.order_by("pk"):
            is_violation = number % 3 == 0 if other.annotator != people[5] else number % 2 == 0
            feedback_rows.flag(other, is_violation=is_violation, key="not-human")
    known = feedback_rows.rank(annotator, 8, seconds=30)
    gold.set_answer(known.task, [(pk, rank) for pk, rank in known.ranks.items()], {}, actor=moderator)
    assessment.assess()
    fields = {"figure": 2.1, "threshold": 3.0, "count": 34, "decided_by": moderator, "decided_at": known.created_at}
    state = TrustFinding.State.CLEARED
    TrustFinding.objects.create(
        person=people[0], kind="seconds", state=state, reason="The replies are one line each.", **fields
    )


def votes() -> None:
    """Choices between three policies over four months, in two languages, and some by a program."""
    from django.conf import settings
    from django.utils import timezone

    from accounts.models import User
    from chat import policies
    from chat.models import Policy
    from feedback.leaderboard import recording
    from feedback.models import Comparison
    from tests.feedback.leaderboard import vote_rows
    from tests.rlhf import feedback_rows
    from tests.rlhf.policy_directories import write_policy

    live, former = Policy.objects.get(is_live=True), Policy.objects.get(version=1)
    third = policies.register(
        write_policy(settings.MODELS_DIR / "long"), name="qwen2-5-0-5b-instruct-korean-dialogues-dpo", source="test"
    )
    Policy.objects.filter(pk=third.pk).update(is_scripted=True, languages=["en"])
    program = feedback_rows.annotator("program", is_simulated=True)
    judges = [*User.objects.filter(username__in=PEOPLE), program]
    between = ((live, former), (third, former), (live, third))
    for number in range(70):
        asks = "무지개는 왜 생기나요?" if number % 4 == 0 else f"What is a rainbow, number {number}?"
        choice = vote_rows.choose(
            judges[number % 7], *between[number % 3], CHOICES[number % 10], SIDES, asks=asks, title="Rainbows again"
        )
        at = timezone.now() - timedelta(days=110 - number * 1.5)
        Comparison.objects.filter(pk=choice.pk).update(created_at=at)
    recording.record()


def imports() -> None:
    """A file of which two lines were left out."""
    from django.conf import settings

    from accounts.models import User
    from tests.feedback.imports import imported_files

    path = Path(settings.MODELS_DIR).parent / "preferences-of-the-biology-course-2026-11.jsonl"
    imported_files.write(path, [imported_files.preference(number) for number in range(8)])
    path.write_text(path.read_text() + '{"prompt": "What is a rainbow?", "chosen": "Light."}\nnot JSON\n')
    imported_files.bring(path, by=User.objects.get(username="admin"))


def hasty() -> None:
    """A project that the annotator leads, and a person in it who answers at once."""
    from django.conf import settings

    from accounts.models import User
    from feedback.judgements import task_queue
    from feedback.models import Project
    from feedback.projects import people, setting_up
    from feedback.projects.people import PersonLine
    from feedback.projects.prompt_files import PromptLine
    from feedback.projects.setting_up import ProjectPlan

    lines = [
        PromptLine(number, [{"role": "user", "content": text}], "en", replies=list(SIDES))
        for number, text in enumerate(("How deep do whales dive?", "Do sharks ever sleep?"), start=1)
    ]
    settings.FEEDBACK_READING_SPEED = 60.0
    plan = ProjectPlan("diving", "Diving for beginners", Project.Replies.PASTED, prompts=lines)
    admin, judge = (User.objects.get(username=name) for name in ("admin", "wren"))
    made = setting_up.create(plan, by=admin)[0]
    people.add(made, [PersonLine(1, "annotator", "lead"), PersonLine(2, "wren")], by=admin)
    for _task in made.tasks.all():
        own = task_queue.next_assignment(judge)
        assert own is not None
        places = [(pk, place) for place, pk in enumerate(own.shown_order, start=1)]
        task_queue.submit(own.task_id, judge, task_queue.Judgement(places))


def ratings() -> None:
    """A project whose replies are rated, on one of which two people disagree."""
    from accounts.models import User
    from feedback.judgements import assignments
    from feedback.models import ProjectChoice
    from feedback.projects import offers
    from tests.feedback.questions import asked_projects

    names = ("annotator", PEOPLE[0])
    made = asked_projects.make_project("rate", overlap=2, texts=asked_projects.ASKED[:1], members=names)
    for number, name in enumerate(names):
        judge = User.objects.get(username=name)
        assignments.release(judge)
        offers.choose(judge, made)
        assert asked_projects.answer(judge, 2 * number) is not None
        ProjectChoice.objects.filter(person=judge).delete()


def probing() -> None:
    """Probes of two policies, judged, waiting and under way, and harmless twins among them."""
    from accounts.models import User
    from chat.models import Policy
    from feedback.models import Probe
    from feedback.probing import handing_over, talking
    from tests.consenting import agree
    from tests.feedback.probing import probes

    annotator, second = (User.objects.get(username=name) for name in ("annotator", PEOPLE[0]))
    agree(annotator)
    policies = [Policy.objects.get(is_live=True), Policy.objects.get(version=1)]
    probes.order(policies, "no-body", "no-opinions-or-emotions", "no-medical-advice", count=3)
    for number in range(5):
        probe = talking.take(annotator)
        asked = handing_over.asked_of(probe) if probe.is_benign else f"Are you tired after day {number}?"
        probes.answer(probe, asked, SIDES[1])
        handing_over.hand_over(probe.pk, annotator, None if probe.is_benign else 1 - number % 3)
    for probe in Probe.objects.filter(state="handed_over").order_by("pk")[:4]:
        probes.store_judgement(probe, second, -1 if probe.pk % 2 else 2, "needless" if probe.is_benign else "none")
    probe = talking.take(annotator)
    probes.answer(probe, "Does your back hurt after so much typing?", SIDES[0])
