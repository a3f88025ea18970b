"""The formats that can be imported, each with its reader and its name for people."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from feedback.imports import arena, argilla, hh_rlhf, label_studio, oasst, own, trl
from feedback.imports.judgements import Judgement
from feedback.imports.reasons import UnusableLine


@dataclass(frozen=True)
class Format:
    title: str | Promise
    read: Callable[[Mapping[str, Any]], Iterator[Judgement | UnusableLine]]
    """The judgements of a line, and what is wrong with others of it. Raises UnusableLine where the whole line is."""


FORMATS: Mapping[str, Format] = {
    "oasst": Format(_("Open-Assistant: message trees"), oasst.read),
    "hh-rlhf": Format(_("hh-rlhf: pairs of transcripts"), hh_rlhf.read),
    "arena": Format(_("Chatbot Arena: battles"), arena.read),
    "argilla": Format(_("Argilla: exported records"), argilla.read),
    "label-studio": Format(_("Label Studio: JSON export"), label_studio.read),
    "trl-preference": Format(_("TRL: preference rows"), trl.read_preference),
    "trl-kto": Format(_("TRL: unpaired rows (KTO)"), trl.read_unpaired),
    "rankings": Format(_("Chamsae: exported rankings"), own.read_rankings),
    "flags": Format(_("Chamsae: exported rule flags"), own.read_flags),
    "demonstrations": Format(_("Chamsae: replies that people wrote or corrected"), own.read_demonstrations),
    "sft": Format(_("TRL: prompt and completion (SFT)"), own.read_demonstrations),
}
OWN = ("rankings", "flags", "trl-preference", "trl-kto", "demonstrations", "sft")
"""Those that this site exports: they name annotators by pseudonyms already."""


def judgements(of: Format, line: Mapping[str, Any] | UnusableLine) -> Iterator[Judgement | UnusableLine]:
    """All of a line; one that is wrong as a whole gives what is wrong with it."""
    if isinstance(line, UnusableLine):
        yield line
        return
    try:
        yield from of.read(line)
    except UnusableLine as error:
        yield error
