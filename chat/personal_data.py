"""The chat's personal data: exports it, and deletes it when a person leaves or a conversation is removed."""

from collections.abc import Collection, Iterator
from uuid import UUID

from accounts.models import User
from accounts.personal import NotYet, Row, Table
from chat.conversations import exporting, side_by_side
from chat.models import Assistant, Candidate, Conversation, Message, PersonalInstructions, Reply, Scoring, Ticket


def _without_hidden(row: Row, person: User) -> Row:
    """Without the text that a moderator has hidden."""
    return row | ({"text": "", "imported": None} if row["hidden_at"] else {})


def _without_blind(row: Row, person: User) -> Row:
    """Without the policy of a reply in an undecided pair."""
    return row | ({"policy_id": None} if side_by_side.blind([row["id"]]) else {})


def _without_left_out(row: Row, person: User) -> Row:
    """Without the text that a guard kept from being shown, and that of a reply that a moderator has hidden."""
    hidden = Candidate.objects.filter(pk=row["id"], choice__reply__message__hidden_at__isnull=False)
    return row | ({"text": ""} if row["left_out_by"] or hidden.exists() else {})


EXPORT = (
    Table("chat.Assistant", "owner"),
    Table("chat.PersonalInstructions", "owner"),
    Table("chat.Conversation", "owner"),
    Table("chat.Message", "conversation__owner", changed=_without_hidden),
    Table("chat.Reply", "message__conversation__owner", frozenset({"owner", "lease_until"}), _without_blind),
    Table("chat.Choice", "reply__message__conversation__owner", frozenset({"error"})),
    Table("chat.Candidate", "choice__reply__message__conversation__owner", changed=_without_left_out),
    Table("chat.Pair", "message__conversation__owner"),
    Table("chat.TokenView", "reply__message__conversation__owner"),
    Table("chat.SharedLink", "conversation__owner"),
)
EXCLUDED = {
    "chat.Chunk": "the pieces of replies, whose text chat.Message has whole",
    "chat.Policy": "models; those that somebody made from data of their own are in tuning.FineTune",
    "chat.ShareOfChats": "which of the site's models is tried",
    "chat.EngineProcess": "processes of the site; one may serve a model that somebody made",
    "chat.Ticket": "places in the queue, without any text; what was used is in metering.Usage",
    "chat.Scoring": "texts under calculation, removed within minutes",
}


def files(person: User) -> Iterator[tuple[str, object]]:
    """Each conversation that is kept, as a file that can be imported again."""
    for conversation in person.conversations.filter(deleted_at=None, expires_at=None).order_by("created_at", "pk"):
        yield f"conversations/{conversation.pk}.json", exporting.as_json(conversation)


def forget_conversations(ids: Collection[UUID]) -> None:
    """Deletes conversations with their messages, replies, links and token views."""
    if Reply.objects.filter(message__conversation__in=ids, state__in=Reply.LIVE).exists():
        raise NotYet("a reply is still being written")
    Conversation.objects.filter(pk__in=ids).update(tip=None)
    Message.objects.filter(conversation__in=ids).delete()
    Conversation.objects.filter(pk__in=ids).delete()


def forget_person(person: User) -> None:
    """Deletes their conversations, instructions and own assistants. One shared with everybody belongs to the site."""
    forget_conversations(list(person.conversations.values_list("pk", flat=True)))
    Assistant.objects.filter(owner=person, is_shared=False).delete()
    PersonalInstructions.objects.filter(owner=person).delete()
    Ticket.objects.filter(user=person).delete()
    Scoring.objects.filter(user=person).delete()


def withdraw_person(person: User) -> None:
    """Switches training off in each of their conversations: a new consent does not open old ones by itself."""
    Conversation.objects.filter(owner=person, may_train=True).update(may_train=False)
