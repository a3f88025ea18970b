"""Tasks with a known answer: who gets them and when, what they say of people, and that nobody can tell them apart."""

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.roles import Role
from feedback import trainable
from feedback.judgements import task_queue
from feedback.judgements.task_queue import Judgement
from feedback.models import AnnotatorTrust, GoldAnswer, Ranking, RankingTask, Violation
from feedback.trust import assessment, consensus, gold
from feedback.trust.errors import NoOrder
from tests.accounts.audit_faults import faults
from tests.feedback.ranking_tasks import make_task
from tests.rlhf import feedback_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def known(policy, moderator, settings):
    """Three tasks whose replies are known to be in the order of their index, and two others."""
    settings.FEEDBACK_GOLD_TASKS = 3
    tasks = [make_task(policy, f"How does the bird number {n} sing?") for n in range(3)]
    for task in tasks:
        gold.set_answer(task, in_order(task), {}, actor=moderator)
    for n in range(2):
        make_task(policy, f"Where is the sea number {n}?")
    return tasks


def in_order(task):
    return [(pk, place) for place, pk in enumerate(task.completions.values_list("pk", flat=True), start=1)]


def reverse(task):
    return [(pk, 5 - place) for pk, place in in_order(task)]


def judge(annotator, places=in_order):
    assignment = task_queue.next_assignment(annotator)
    return task_queue.submit(assignment.task_id, annotator, Judgement(places(assignment.task)))


def test_a_new_annotator_gets_them_first_and_then_others(known, annotator, settings):
    settings.FEEDBACK_GOLD_SHARE = 0.0
    first = {judge(annotator).task_id for _ in range(3)}
    assert first == {task.pk for task in known}
    assert judge(annotator).task_id not in first


def test_each_new_annotator_gets_the_same_ones(known, annotator, person):
    for _ in range(3):
        judge(annotator)
    other = person("bo", Role.ANNOTATOR)
    assert {judge(other).task_id for _ in range(3)} == {task.pk for task in known}
    assert set(RankingTask.objects.filter(gold__isnull=False).values_list("state", flat=True)) == {"done"}


def test_without_one_nobody_is_held_up(policy, annotator):
    make_task(policy)
    judge(annotator)
    assert gold.due(annotator, are_there_others=lambda: True, luck=0.0) is None
    assessment.assess()
    assert AnnotatorTrust.objects.get(person=annotator).weight == 1


def test_later_they_come_by_lot_and_only_in_place_of_another(known, annotator, settings):
    settings.FEEDBACK_GOLD_TASKS = 2
    for _ in range(2):
        judge(annotator)
    left = next(task.pk for task in known if not task.rankings.exists())
    assert gold.due(annotator, are_there_others=lambda: True, luck=0.049) == left
    assert gold.due(annotator, are_there_others=lambda: True, luck=0.05) is None
    assert gold.due(annotator, are_there_others=lambda: False, luck=0.0) is None


def test_whoever_set_an_answer_or_skipped_the_task_does_not_get_it(known, moderator, annotator):
    assert not gold.offered_to(moderator).exists()
    assignment = task_queue.next_assignment(annotator)
    task_queue.skip(assignment.task_id, annotator, "other")
    assert assignment.task_id not in set(gold.offered_to(annotator).values_list("pk", flat=True))
    assert gold.offered_to(annotator).count() == 2


def test_many_skips_do_not_take_it_from_others(known, person):
    for name in ("a", "b", "c"):
        skipper = person(name, Role.ANNOTATOR)
        for _ in range(3):
            task_queue.skip(task_queue.next_assignment(skipper).task_id, skipper, "other")
    assert gold.offered_to(person("d", Role.ANNOTATOR)).count() == 3


def test_the_page_of_one_is_that_of_any_other(known, annotator, signed_in, settings):
    client = signed_in(annotator)
    settings.FEEDBACK_GOLD_SHARE = 0.0
    pages = []
    for _ in range(4):
        page = client.get("/rank/")
        task = page.context["task"]
        pages.append((task.pk in {one.pk for one in known}, sorted(page.context.keys()), page.content.decode()))
        task_queue.submit(task.pk, annotator, Judgement(in_order(task)))
    assert [is_gold for is_gold, *_rest in pages] == [True, True, True, False]
    assert len({str(keys) for _is_gold, keys, _page in pages}) == 1
    assert not [word for word in ("gold", "known answer") if word in pages[0][2].lower()]


def test_the_number_that_waits_falls_by_one_with_each_whichever_it_is(known, annotator, settings):
    settings.FEEDBACK_GOLD_SHARE = 0.0
    counts = [task_queue.progress(annotator)["waiting"]]
    for _ in range(4):
        judge(annotator)
        counts.append(task_queue.progress(annotator)["waiting"])
    assert counts == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(("places", "weight", "reason"), [(in_order, 1.0, "unknown"), (reverse, 0.0, "finding")])
def test_who_is_right_counts_and_who_is_wrong_does_not(known, annotator, places, weight, reason):
    judge(annotator, places)
    assessment.assess()
    assert AnnotatorTrust.objects.get(person=annotator).reason == "gold_missing"
    for _ in range(2):
        judge(annotator, places)
    assessment.assess()
    stored = AnnotatorTrust.objects.get(person=annotator)
    assert (stored.weight, stored.reason) == (weight, reason)
    assert stored.figures["gold_score"] == weight


def test_who_judged_before_there_were_any_is_not_held_up(policy, annotator, moderator):
    make_task(policy, "Why is snow white?")
    judge(annotator)
    later = make_task(policy, "What do cows eat?")
    gold.set_answer(later, in_order(later), {}, actor=moderator)
    GoldAnswer.objects.update(created_at=timezone.now())
    assert gold.standings([annotator])[annotator.pk].needed == 0


def test_what_is_said_of_them_does_not_train(known, annotator):
    made = judge(annotator)
    feedback_rows.flag(made, 0)
    assert not trainable.rankings().exists()
    assert not trainable.violations().exists()
    answer = GoldAnswer.objects.get(task=made.task)
    gold.take_out(answer, actor=None)
    assert trainable.rankings().get() == made
    assert trainable.violations().count() == Violation.objects.count() == 1


def test_flags_are_measured_by_rule_with_both_sides_alike(policy, moderator):
    task = make_task(policy)
    ids = list(task.completions.values_list("pk", flat=True))
    answer = gold.set_answer(task, in_order(task), {"human": [ids[0]]}, actor=moderator)
    right = {str(pk): place for pk, place in in_order(task)}
    assert gold.score(right, {"human": {ids[0]}}, answer) == 1
    assert gold.score(right, {"human": set(ids)}, answer) == pytest.approx((1 + (1 + 0) / 2) / 2)
    assert gold.score(right, {}, answer) == pytest.approx((1 + (0 + 1) / 2) / 2)


def test_an_answer_is_checked_and_written_down(policy, moderator):
    task = make_task(policy)
    with pytest.raises(NoOrder):
        gold.set_answer(task, [(pk, 1) for pk, _place in in_order(task)], {}, actor=moderator)
    assert not GoldAnswer.objects.exists()
    made = gold.set_answer(task, in_order(task), {}, actor=moderator)
    gold.take_out(made, actor=moderator)
    gold.take_out(made, actor=moderator)
    assert list(AuditEntry.objects.order_by("id").values_list("verb", flat=True)) == ["gold.set", "gold.remove"]
    assert faults() == []


def test_the_proposed_order_is_that_of_the_people_who_agree(policy, person):
    task = make_task(policy, state="done", replies=3)
    ids = list(task.completions.values_list("pk", flat=True))
    for name, ranks in (("a", (2, 1, 3)), ("b", (2, 1, 3)), ("c", (3, 1, 2)), ("d", (1, 2, 3))):
        order = {str(pk): rank for pk, rank in zip(ids, ranks, strict=True)}
        Ranking.objects.create(task=task, annotator=person(name, Role.ANNOTATOR), ranks=order)
    proposed = consensus.proposed_ranks(task)
    assert [proposed[pk] for pk in ids] == [2, 1, 3]
