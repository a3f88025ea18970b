"""Personal data of feedback: what a person may export, and what is deleted or anonymised when they are erased.

Their own words are deleted: thumbs, comments, all feedback on their conversations, and the tasks made from their
messages with the judgements that others made in them. Their judgements of other texts stay, without their name: they
were given to train the model, which has learned from them, and snapshots contained them under a pseudonym.
"""

from collections.abc import Collection
from uuid import UUID

from accounts.models import User
from accounts.personal import Table
from feedback.judgements import assignments
from feedback.models import (
    Claim,
    Comparison,
    GivenWarning,
    JudgingChoices,
    ModeratorNote,
    Project,
    ProjectChoice,
    ProjectMember,
    Prompt,
    Ranking,
    RankingTask,
    Report,
    Review,
    Skip,
    TaskAnswer,
    Thumb,
    TrustFinding,
)
from feedback.probing import talking

EXPORT = (
    Table("feedback.Thumb", "person"),
    Table("feedback.Comparison", "annotator"),
    Table("feedback.Ranking", "annotator"),
    Table("feedback.TaskAnswer", "annotator"),
    Table("feedback.Violation", "annotator"),
    Table("feedback.Skip", "annotator"),
    Table("feedback.Report", "reporter"),
    Table("feedback.AnnotatorTrust", "person"),
    Table("feedback.TrustFinding", "person", without=frozenset({"others"})),
    Table("feedback.Assignment", "annotator"),
    Table("feedback.Probe", "prober", without=frozenset({"created_by"})),
    Table("feedback.GivenWarning", "person", without=frozenset({"given_by"})),
    Table("feedback.JudgingChoices", "annotator"),
    Table("feedback.ProjectMember", "person"),
    Table("feedback.ProjectChoice", "person"),
    Table("feedback.Prompt", "message__conversation__owner"),
)
EXCLUDED = {
    "feedback.AgreementFigure": "figures of all who judge a project, of nobody in particular",
    "feedback.Project": "what the site wants judged; its description is the site's",
    "feedback.ProjectPrompt": "which prompts a project wants judged",
    "feedback.ProjectInvitation": "a link by which others join a project; it is the project's",
    "feedback.RankingTask": "what the site asks of annotators, made from prompts that are exported",
    "feedback.Completion": "what policies wrote for annotators to judge",
    "feedback.ComparisonRound": "the site's own question, asked of all annotators",
    "feedback.BlindPair": "which policy wrote which reply; goes with its task",
    "feedback.Vote": "what comparisons and rankings, which are exported, say of policies",
    "feedback.UnjudgedSet": "what policies wrote for programs to judge; goes with its prompt",
    "feedback.Opening": "which messages begin a conversation, by hashes; goes with the message",
    "feedback.OpeningBand": "hashes of how a conversation begins; goes with its opening",
    "feedback.Claim": "which moderator has an item open, for some minutes",
    "feedback.ModeratorNote": "what moderators noted for each other while they decided, about others as well",
    "feedback.Review": "which blocks and new accounts moderators have looked at",
    "feedback.GoldAnswer": "the site's own answers, which nobody may know who is measured by them",
    "feedback.Guidelines": "the site's own words to annotators, whoever wrote them",
    "feedback.RuleVersion": "the rules are the site's, whoever worded them",
    "feedback.Import": "which files of judgements the site has stored, whoever brought them",
    "feedback.ImportedAnnotator": "belongs to people who judged elsewhere, without their names; they cannot sign in",
    "feedback.CompletionThumb": "judgements that were made elsewhere",
    "feedback.Webhook": "addresses that the site tells of feedback, whoever set them up",
    "feedback.WebhookDelivery": "ids, choices and pseudonyms on their way to such an address; removed after a month",
    "feedback.SimulatedAnnotator": "belongs to programs, which cannot sign in",
}


def forget_conversations(ids: Collection[UUID]) -> None:
    """Deletes the prompts made from them, with the tasks and judgements of those prompts."""
    tasks = RankingTask.objects.filter(prompt__message__conversation__in=ids)
    Ranking.objects.filter(task__in=tasks).delete()
    TaskAnswer.objects.filter(task__in=tasks).delete()
    tasks.delete()
    Prompt.objects.filter(message__conversation__in=ids).delete()


def forget_person(person: User) -> None:
    forget_conversations(list(person.conversations.values_list("pk", flat=True)))
    Thumb.objects.filter(person=person).delete()
    Comparison.objects.filter(annotator=person).delete()
    Skip.objects.filter(annotator=person).delete()
    GivenWarning.objects.filter(person=person).delete()
    ModeratorNote.objects.filter(account=person).delete()
    Review.objects.filter(account=person).delete()
    Claim.objects.filter(moderator=person).delete()
    JudgingChoices.objects.filter(annotator=person).delete()
    Ranking.objects.filter(annotator=person).update(comment="")
    _forget_own_words(person)
    Report.objects.filter(reporter=person).update(comment="")
    TrustFinding.objects.filter(person=person).update(reason="")
    assignments.release(person)
    talking.forget_prober(person)
    ProjectMember.objects.filter(person=person).delete()
    ProjectChoice.objects.filter(person=person).delete()


def _forget_own_words(person: User) -> None:
    """Replies that they wrote or corrected are their own words, and go; what they said of others' stays."""
    written = (Project.Question.DEMONSTRATE, Project.Question.CORRECT)
    own = TaskAnswer.objects.filter(annotator=person)
    texts = own.filter(task__project__question__in=written)
    tasks = list(texts.values_list("task", flat=True))
    texts.delete()
    for task in RankingTask.objects.select_for_update().filter(pk__in=tasks):
        assignments.settle(task)
    own.update(comment="")
