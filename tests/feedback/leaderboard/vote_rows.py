"""Judgements between two policies: choices in the chat, and blind pairs of a round."""

from django.utils import timezone

from feedback.models import BlindPair, Comparison, ComparisonRound, Ranking
from tests.feedback.conversation_rows import make_pair
from tests.rlhf import feedback_rows


def choose(person, left, right, choice="left", texts=("- one", "two"), **fields):
    pair = make_pair(person, texts, (left, right), may_train=True, **fields)
    return Comparison.objects.create(pair=pair, annotator=person, choice=choice, is_simulated=person.is_simulated)


def blind(person, candidate, baseline, ranks=(1, 2), closed=True):
    asked = ComparisonRound.objects.create(
        candidate=candidate,
        baseline=baseline,
        deadline=timezone.now(),
        most_of_one=9,
        closed_at=timezone.now() if closed else None,
    )
    made = feedback_rows.rank(person, Ranking.objects.count(), ranks=ranks)
    own = made.task.completions.get(index=1)  # the second reply is the candidate's
    BlindPair.objects.create(round=asked, task=made.task, candidate=own, prompt_number=0, draw=0, predicted=0.5)
    return made
