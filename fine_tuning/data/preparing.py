"""The steps of `openai tools fine_tunes.prepare_data` of 2023: each change is proposed first, and then applied.

The rules and their figures are those of that tool (openai 0.27, validators): a completion begins with a space and
ends with a marker of its own, a prompt ends with a marker that no prompt contains otherwise. Conversations and
preferences have no such rules; empty, duplicate and over-long lines are removed from them, too.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from fine_tuning.data.formats import PROMPT_COMPLETION, Row
from fine_tuning.data.survey import canonical_json, emptiness

PROMPT_ENDS = (" ->", "\n\n###\n\n", "\n\n===\n\n", "\n\n---\n\n", "\n\n===>\n\n", "\n\n--->\n\n")
LAST_PROMPT_END = "\n\n### =>\n\n"
COMPLETION_ENDS = ("\n", ".", " END", "***", "+++", "&&&", "$$$", "@@@", "%%%")
LAST_COMPLETION_END = " [END]"
LONGEST_PROMPT_START, LONGEST_COMPLETION_START = 12, 5
LONGEST_END = 10
LONG_CHARS = 10_000
FEW = 100
CLASSIFICATION_SHARE = 3
"""Data count as classification where each completion occurs three times or more on average."""
SHOWN = 5

Kind = str
OPEN, CLASSIFICATION, CONDITIONAL = "open-ended generation", "classification", "conditional generation"


@dataclass(frozen=True)
class Sample:
    """A line before and after; `after` is None where the line is removed."""

    line: int
    before: Row
    after: Row | None


@dataclass(frozen=True)
class Change:
    """A change that preparing would make. `code` names it in forms and commands."""

    code: str
    title: str
    count: int
    """How many lines it changes."""
    samples: Sequence[Sample]
    is_needed: bool = True
    """False: recommended only; the data may be as good without it."""


@dataclass
class Prepared:
    """Rows with the numbers of their lines, the changes proposed to them, and hints for the person."""

    form: str
    rows: list[tuple[int, Row]]
    changes: list[Change] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    kind: Kind = CONDITIONAL


Rows = list[tuple[int, Row]]
Step = Callable[[Prepared], "ProposedChange | None"]


@dataclass(frozen=True)
class ProposedChange:
    """A change, and the function that applies it."""

    code: str
    title: str
    apply: Callable[[Rows], Rows]
    is_needed: bool = True


def prepare(form: str, rows: Sequence[tuple[int, Row]], chosen: Collection[str] | None = None) -> Prepared:
    """The proposed changes, and the rows after those whose codes are `chosen`; None: all of them.

    As in the tool, all changes are proposed before the first is applied, and lines without a completion are always
    removed.
    """
    prepared = Prepared(form, list(rows))
    proposed: list[ProposedChange] = []
    if (empty := _without_empty(prepared)) is not None:
        _apply(empty, prepared, is_chosen=True)
    if len(prepared.rows) < FEW:
        prepared.hints.append(_few(len(prepared.rows)))
    for step in STEPS if form == PROMPT_COMPLETION else STEPS_OF_ALL:
        if prepared.rows and (proposal := step(prepared)) is not None:
            proposed.append(proposal)
    for proposal in proposed:
        _apply(proposal, prepared, is_chosen=chosen is None or proposal.code in chosen)
    if form == PROMPT_COMPLETION and prepared.rows:
        prepared.kind = kind_of(_plain(prepared))
    return prepared


def _apply(proposal: ProposedChange, prepared: Prepared, *, is_chosen: bool) -> None:
    """Describes what the change would do to the rows as they are now, and applies it if it is chosen."""
    after = proposal.apply(prepared.rows)
    prepared.changes.append(_change_of(proposal, prepared.rows, after))
    if is_chosen:
        prepared.rows = after


def _few(count: int) -> str:
    return ngettext(
        "There is only %(n)d line. A few hundred work better, and each doubling improves the result.",
        "There are only %(n)d lines. A few hundred work better, and each doubling improves the result.",
        count,
    ) % {"n": count}


def _plain(prepared: Prepared) -> list[Row]:
    return [row for _number, row in prepared.rows]


def _change_of(proposal: ProposedChange, before: Rows, rows: Rows) -> Change:
    after = dict(rows)
    samples = [Sample(number, row, after.get(number)) for number, row in before if after.get(number) != row]
    return Change(proposal.code, proposal.title, len(samples), samples[:SHOWN], proposal.is_needed)


def kind_of(rows: Sequence[Row]) -> Kind:
    if not any(row["prompt"] for row in rows):
        return OPEN
    completions = {row["completion"] for row in rows}
    return CLASSIFICATION if len(completions) < len(rows) / CLASSIFICATION_SHARE else CONDITIONAL


# --- removed lines ------------------------------------------------------------------------------------------------


def _without_empty(prepared: Prepared) -> ProposedChange | None:
    def without_empty(rows: Rows) -> Rows:
        return [(number, row) for number, row in rows if emptiness(prepared.form, row) is None]

    return _removal(prepared, without_empty, "empty", _("Remove lines with an empty completion"))


def _without_duplicates(prepared: Prepared) -> ProposedChange | None:
    return _removal(prepared, _distinct, "duplicates", _("Remove duplicate lines"))


def _distinct(rows: Rows) -> Rows:
    seen: dict[bytes, tuple[int, Row]] = {}
    for number, row in rows:
        seen.setdefault(canonical_json(row), (number, row))
    return list(seen.values())


def _without_long(prepared: Prepared) -> ProposedChange | None:
    if prepared.form == PROMPT_COMPLETION and kind_of(_plain(prepared)) == OPEN:
        return None
    title = _("Remove lines of more than %(n)d characters") % {"n": LONG_CHARS}
    return _removal(prepared, _short, "long", title, is_needed=False)


def _short(rows: Rows) -> Rows:
    return [(number, row) for number, row in rows if _characters(row) <= LONG_CHARS]


def _removal(
    prepared: Prepared, apply: Callable[[Rows], Rows], code: str, title: str, *, is_needed: bool = True
) -> ProposedChange | None:
    return ProposedChange(code, title, apply, is_needed) if len(apply(prepared.rows)) < len(prepared.rows) else None


def _characters(row: Row) -> int:
    parts = (
        value if isinstance(value, str) else "".join(turn["content"] for turn in value) for value in row.values()
    )
    return sum(map(len, parts))


# --- changed lines ------------------------------------------------------------------------------------------------


def _edit(
    name: str, code: str, title: str, change: Callable[[str], str], *, is_needed: bool = True
) -> ProposedChange:
    def apply(rows: Rows) -> Rows:
        return [(number, {**row, name: change(row[name])}) for number, row in rows]

    return ProposedChange(code, title, apply, is_needed)


def _lower_case(name: str) -> Step:
    def step(prepared: Prepared) -> ProposedChange | None:
        letters = "".join(_texts(prepared, name))
        upper = sum(char.isupper() for char in letters if char.isalpha())
        lower = sum(char.islower() for char in letters if char.isalpha())
        if upper * 2 <= lower or not upper:
            return None
        title = _("Convert the %(column)s to lower case: most of it is in capitals") % {"column": name}
        return _edit(name, f"lower_{name}", title, str.lower, is_needed=False)

    return step


def _prompt_end(prepared: Prepared) -> ProposedChange | None:
    prompts = _texts(prepared, "prompt")
    if kind_of(_plain(prepared)) == OPEN:
        return None
    end = _common_end(prompts)
    if end and all(prompt == end for prompt in prompts):
        prepared.hints.append(_("All prompts are the same. Leave them empty if the model should write freely."))
        return None
    if end:
        prepared.hints.append(
            _("All prompts end with %(end)s. End your prompts the same way when you call the model.")
            % {"end": quoted(end)}
        )
        if any(end in prompt[: -len(end)] for prompt in prompts):
            prepared.hints.append(_("Some prompts also contain %(end)s in the middle.") % {"end": quoted(end)})
        if len(end) > LONGEST_END:
            prepared.hints.append(_("This ending is long; a shorter one costs fewer tokens."))
        return None
    chosen = _new_prompt_end(prompts)
    title = _("Add %(end)s to the end of every prompt, so that the model can see where it ends") % {
        "end": quoted(chosen)
    }
    return _edit("prompt", "prompt_end", title, lambda text: text + chosen)


def _new_prompt_end(prompts: Sequence[str]) -> str:
    has_lines = any("\n" in prompt for prompt in prompts)
    for end in PROMPT_ENDS:
        if not (end == " ->" and has_lines) and not any(end in prompt for prompt in prompts):
            return end
    return LAST_PROMPT_END


def _prompt_start(prepared: Prepared) -> ProposedChange | None:
    prompts = _texts(prepared, "prompt")
    start = _common_start(prompts)
    if len(start) <= LONGEST_PROMPT_START or all(prompt == start for prompt in prompts):
        return None
    title = _(
        "Remove %(start)s from the start of every prompt: the model learns nothing from text that is always the same"
    )
    cut = title % {"start": quoted(start)}
    return _edit("prompt", "prompt_start", cut, lambda text: text[len(start) :], is_needed=False)


def _completion_start(prepared: Prepared) -> ProposedChange | None:
    completions = _texts(prepared, "completion")
    start = _common_start(completions)
    is_spaced = start.startswith(" ")
    if len(start) < LONGEST_COMPLETION_START or all(text == start for text in completions):
        return None
    title = _(
        "Remove %(start)s from the start of every completion: the model learns nothing from text "
        "that is always the same"
    )
    space = " " if is_spaced else ""
    cut = title % {"start": quoted(start)}
    return _edit("completion", "completion_start", cut, lambda text: space + text[len(start) :], is_needed=False)


def _completion_end(prepared: Prepared) -> ProposedChange | None:
    completions = _texts(prepared, "completion")
    if kind_of(_plain(prepared)) in (OPEN, CLASSIFICATION):
        return None
    end = _common_end(completions)
    if end and all(text == end for text in completions):
        prepared.hints.append(_("All completions are the same: there is nothing to learn."))
        return None
    if end:
        text = _("All completions end with %(end)s. Use it as a stop sequence when you call the model.")
        prepared.hints.append(text % {"end": quoted(end)})
        return None
    chosen = next(
        (one for one in COMPLETION_ENDS if not any(one in text for text in completions)), LAST_COMPLETION_END
    )
    title = _("Add %(end)s to the end of every completion, so that the model learns where to stop") % {
        "end": quoted(chosen)
    }
    return _edit("completion", "completion_end", title, lambda text: text + chosen)


def _completion_space(prepared: Prepared) -> ProposedChange | None:
    if all(text.startswith(" ") for text in _texts(prepared, "completion")):
        return None
    title = _("Begin every completion with a space: for most words, the token includes the space before it")
    return _edit("completion", "completion_space", title, lambda text: text if text.startswith(" ") else " " + text)


def _texts(prepared: Prepared, name: str) -> list[str]:
    return [row[name] for _number, row in prepared.rows]


def _common_end(given: Sequence[str]) -> str:
    return _common_start([text[::-1] for text in given])[::-1]


def _common_start(given: Sequence[str]) -> str:
    """Of the first and the last in sorted order, since all others lie between them."""
    first, last = min(given), max(given)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def quoted(text: str) -> str:
    """In quotation marks, with line breaks as `\\n`."""
    return "“" + text.replace("\n", "\\n") + "”"


STEPS_OF_ALL: tuple[Step, ...] = (_without_duplicates, _without_long)
STEPS: tuple[Step, ...] = (
    *STEPS_OF_ALL,
    _lower_case("prompt"),
    _lower_case("completion"),
    _prompt_end,
    _prompt_start,
    _completion_start,
    _completion_end,
    _completion_space,
)
