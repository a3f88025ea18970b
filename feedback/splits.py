"""Decides once for a conversation on which side of the split its prompts stand: trained on, or held out.

Prompts stand on one side together if they come from one conversation, or if their conversations begin with
near-duplicates: a held-out prompt then has no beginning and no near-duplicate among those that are trained on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q

from chat.models import Conversation, Message
from chat.prompts.history import branch_to
from feedback.models import Opening, OpeningBand, Prompt, PromptGroup
from feedback.near_duplicates import Sketch, sketch

CANDIDATES = 50
"""Openings that are compared with a new one: those that share the most bands with it."""
SKETCHES_AT_ONCE = 20
"""Texts that are looked for by one query; SQLite takes no arbitrarily long list of values."""


def split_of_conversation(message: Message) -> str:
    """The side of all prompts of the message's conversation; decided now if it was not yet."""
    first = _first_words(message)
    known = Opening.objects.filter(message=first).select_related("group").first()
    return str(known.group.split if known is not None else _join(first).split)


@transaction.atomic
def add_seeds(prompts: Sequence[Prompt]) -> None:
    """Stores new prompts that nobody's conversation gave. Each takes the side of its near-duplicates, else keeps the
    one that it states."""
    sketches = [sketch(_opening_text(prompt.messages)) for prompt in prompts]
    is_first = not Opening.objects.exists()
    groups = [None if is_first else _group_near(of) for of in sketches]
    fresh = PromptGroup.objects.bulk_create(
        [PromptGroup(split=prompt.split) for prompt, group in zip(prompts, groups, strict=True) if group is None]
    )
    rest = iter(fresh)
    joined = [group or next(rest) for group in groups]
    for prompt, group in zip(prompts, joined, strict=True):
        prompt.split = group.split
    rows = Prompt.objects.bulk_create(prompts)
    openings = Opening.objects.bulk_create(
        [Opening(group=group, prompt=row, key=of.key) for row, group, of in zip(rows, joined, sketches, strict=True)]
    )
    _add_bands(openings, sketches)


@transaction.atomic
def add_imported(prompts: Sequence[Prompt]) -> None:
    """Stores new prompts that people brought. Each takes the side of its near-duplicates, of those before it too,
    else the one that it states, else by its hash."""
    sketches = [sketch(_opening_text(prompt.messages)) for prompt in prompts]
    groups: list[PromptGroup] = []
    fresh: list[PromptGroup] = []
    earlier: dict[int, list[tuple[Sketch, PromptGroup]]] = defaultdict(list)
    for prompt, of, known in zip(prompts, sketches, _groups_near(sketches), strict=True):
        among = (group for band in of.bands for other, group in earlier[band] if of.is_near(other))
        group = known or next(among, None)
        if group is None:
            group = PromptGroup(split=prompt.split or _drawn(of))
            fresh.append(group)
        for band in of.bands:
            earlier[band].append((of, group))
        prompt.split = group.split
        groups.append(group)
    PromptGroup.objects.bulk_create(fresh)
    rows = Prompt.objects.bulk_create(prompts)
    openings = Opening.objects.bulk_create(
        [Opening(group=group, prompt=row, key=of.key) for row, group, of in zip(rows, groups, sketches, strict=True)]
    )
    _add_bands(openings, sketches)


def _groups_near(sketches: Sequence[Sketch]) -> list[PromptGroup | None]:
    """As `_group_near` of each, with as many queries for a few dozen of them."""
    found: list[PromptGroup | None] = []
    for start in range(0, len(sketches), SKETCHES_AT_ONCE):
        found += _groups_near_few(sketches[start : start + SKETCHES_AT_ONCE])
    return found


def _groups_near_few(sketches: Sequence[Sketch]) -> list[PromptGroup | None]:
    values = {value for of in sketches for value in of.bands}
    by_band: dict[int, list[int]] = defaultdict(list)
    for value, opening in OpeningBand.objects.filter(value__in=values).values_list("value", "opening"):
        by_band[value].append(opening)
    common = [Counter(opening for value in of.bands for opening in by_band[value]) for of in sketches]
    wanted = {opening for counted in common for opening, _shared in counted.most_common(CANDIDATES)}
    rows = {
        row.pk: row
        for row in Opening.objects.filter(Q(pk__in=wanted) | Q(key__in={of.key for of in sketches})).select_related(
            "group", "message", "prompt"
        )
    }
    return [
        _best_of([rows[pk] for pk in rows if pk in counted or rows[pk].key == of.key], of)
        for of, counted in zip(sketches, common, strict=True)
    ]


def _best_of(rows: Iterable[Opening], wanted: Sketch) -> PromptGroup | None:
    near = [row.group for row in rows if row.key == wanted.key or wanted.is_near(sketch(_text_of(row)))]
    return min(near, key=lambda group: (group.split != Prompt.Split.TRAIN, group.pk), default=None)


def _opening_text(turns: Sequence[dict[str, str]]) -> str:
    """The first words of the user."""
    return next((turn["content"] for turn in turns if turn["role"] == "user"), "")


def _first_words(message: Message) -> Message:
    """The user's first message on the way to this one, by which a branch of the conversation is found again."""
    branch = branch_to(message.conversation_id, message.pk)
    return next((turn for turn in branch if turn.role == Message.Role.USER and turn.text), branch[0])


@transaction.atomic
def _join(first: Message) -> PromptGroup:
    """Adds a conversation, or a branch of it with another first message, to its group."""
    Conversation.objects.select_for_update().get(pk=first.conversation_id)
    of = sketch(first.text)
    group = _group_of(first) or _group_near(of) or PromptGroup.objects.create(split=_drawn(of))
    opening, is_new = Opening.objects.get_or_create(message=first, defaults={"group": group, "key": of.key})
    if is_new:
        _add_bands([opening], [of])
    return opening.group


def _group_of(first: Message) -> PromptGroup | None:
    openings = Opening.objects.filter(message__conversation=first.conversation_id)
    known = openings.select_related("group").order_by("pk").first()
    return known.group if known is not None else None


def _group_near(wanted: Sketch) -> PromptGroup | None:
    """The group of an opening that nearly repeats the wanted one; of several, one that is trained on."""
    equal = Opening.objects.filter(key=wanted.key)
    banded = OpeningBand.objects.filter(value__in=wanted.bands).values("opening")
    best = banded.annotate(common=Count("pk")).order_by("-common", "opening")[:CANDIDATES]
    rows = [
        *equal.select_related("group").order_by("pk")[:CANDIDATES],
        *Opening.objects.filter(pk__in=[row["opening"] for row in best]).select_related("group", "message", "prompt"),
    ]
    return _best_of(rows, wanted)


def _text_of(opening: Opening) -> str:
    if opening.message is not None:
        return opening.message.text
    return _opening_text(opening.prompt.messages) if opening.prompt is not None else ""


def _drawn(of: Sketch) -> str:
    """By the hash of the words, so that the same words fall on the same side on every site with this share."""
    is_held_out = int(of.key[:8], 16) / 16**8 < settings.FEEDBACK_HELD_OUT_SHARE
    return Prompt.Split.HELD_OUT if is_held_out else Prompt.Split.TRAIN


def _add_bands(openings: Sequence[Opening], sketches: Sequence[Sketch]) -> None:
    OpeningBand.objects.bulk_create(
        [
            OpeningBand(opening=opening, value=value)
            for opening, of in zip(openings, sketches, strict=True)
            for value in of.bands
        ],
        batch_size=5000,
    )
