"""Personal data of feedback: what a person may export, and what is deleted or anonymised when they are erased.

Their own words are deleted: thumbs, comments, all feedback on their conversations, and the tasks made from their
messages with the judgements that others made in them. Their judgements of other texts stay, without their name: they
were given to train the model, which has learned from them, and snapshots contained them under a pseudonym.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from accounts.models import User
from accounts.personal import Table
from feedback.models import Comparison, Prompt, Ranking, RankingTask, Report, Skip, Thumb

EXPORT = (
    Table("feedback.Thumb", "person"),
    Table("feedback.Comparison", "annotator"),
    Table("feedback.Ranking", "annotator"),
    Table("feedback.Violation", "annotator"),
    Table("feedback.Skip", "annotator"),
    Table("feedback.Report", "reporter"),
    Table("feedback.RankingTask", "leased_to"),
    Table("feedback.Prompt", "message__conversation__owner"),
)
EXCLUDED = {
    "feedback.Completion": "what policies wrote for annotators to judge",
    "feedback.ComparisonRound": "the site's own question, asked of all annotators",
    "feedback.BlindPair": "which policy wrote which reply; goes with its task",
    "feedback.UnjudgedSet": "what policies wrote for programs to judge; goes with its prompt",
    "feedback.Opening": "which messages begin a conversation, by hashes; goes with the message",
    "feedback.OpeningBand": "hashes of how a conversation begins; goes with its opening",
    "feedback.RuleVersion": "the rules are the site's, whoever worded them",
    "feedback.SimulatedAnnotator": "belongs to programs, which cannot sign in",
}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Deletes the prompts made from them, with the tasks and judgements of those prompts."""
    tasks = RankingTask.objects.filter(prompt__message__conversation__in=ids)
    Ranking.objects.filter(task__in=tasks).delete()
    tasks.delete()
    Prompt.objects.filter(message__conversation__in=ids).delete()


def forget_person(person: User) -> None:
    forget_conversations(list(person.conversations.values_list("pk", flat=True)))
    Thumb.objects.filter(person=person).delete()
    Comparison.objects.filter(annotator=person).delete()
    Skip.objects.filter(annotator=person).delete()
    Ranking.objects.filter(annotator=person).update(comment="")
    Report.objects.filter(reporter=person).update(comment="")
    leased = RankingTask.objects.filter(leased_to=person)
    free: dict[str, Any] = {"leased_to": None, "lease_until": None, "leased_at": None, "draft": {}, "shown_order": []}
    leased.filter(state=RankingTask.State.LEASED).update(state=RankingTask.State.OPEN, **free)
    leased.update(**free)
