"""Judgements of an imported file in one form, whatever tool wrote them."""

from dataclasses import dataclass, field

Turn = dict[str, str]

MOST_REPLIES = 26
"""In one ranking. It stands for up to 325 pairs, which weigh as much as one."""


@dataclass(frozen=True)
class ImportedReply:
    text: str
    policy: str = ""
    """Who wrote it, as the source names them."""
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Circumstances:
    """Who judged, and how."""

    annotator: str = ""
    """As the source names them; empty where it does not tell annotators apart."""
    is_simulated: bool = False
    language: str = ""
    """Empty: by the letters of the prompt."""
    split: str = ""
    """Empty: by the hash of the prompt's opening."""
    seconds: float = 0.0
    guidelines_version: int = 0
    is_adjudication: bool = False
    """A lead decided so, in place of others."""


@dataclass(frozen=True)
class ImportedRanking:
    prompt: list[Turn]
    replies: list[ImportedReply]
    ranks: list[int]
    """Dense, of each reply; 1 is best."""
    said: Circumstances = field(default_factory=Circumstances)
    shown: list[int] = field(default_factory=list)
    """Positions in `replies` as they stood on the page; empty where that is not known."""
    margins: list[tuple[int, int, float]] = field(default_factory=list)
    """(better, worse, margin), positions in `replies`."""


@dataclass(frozen=True)
class ImportedFlag:
    prompt: list[Turn]
    reply: ImportedReply
    rule: str
    rule_text: str
    """Empty: the wording that is in force here."""
    is_violation: bool
    said: Circumstances = field(default_factory=Circumstances)


@dataclass(frozen=True)
class ImportedThumb:
    prompt: list[Turn]
    reply: ImportedReply
    is_up: bool
    said: Circumstances = field(default_factory=Circumstances)


@dataclass(frozen=True)
class ImportedDemonstration:
    """A reply that a policy is to be taught."""

    prompt: list[Turn]
    text: str
    original: ImportedReply | None = None
    """What was corrected into it, if it is a correction."""
    source: str = ""
    """How it came about, as the source says."""
    policy: str = ""
    said: Circumstances = field(default_factory=Circumstances)


Judgement = ImportedRanking | ImportedFlag | ImportedThumb | ImportedDemonstration
