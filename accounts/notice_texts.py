"""Texts of notices by kind, made when they are shown: in the reader's language, from the parameters in the row."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

Parameters = Mapping[str, Any]


def _policy_promoted(parameters: Parameters) -> str:
    policy, count = str(parameters.get("policy", "")), int(parameters.get("judgements", 0))
    if not count:
        return _("A new version of the model answers: %(policy)s.") % {"policy": policy}
    return ngettext(
        "A new version of the model answers: %(policy)s. %(n)d judgement of yours helped to train and check it.",
        "A new version of the model answers: %(policy)s. %(n)d judgements of yours helped to train and check it.",
        count,
    ) % {"policy": policy, "n": count}


def _policy_rolled_back(parameters: Parameters) -> str:
    return _("The previous version %(policy)s answers again instead of %(former)s.") % {
        "policy": parameters.get("policy", ""),
        "former": parameters.get("former", ""),
    }


def _job_succeeded(parameters: Parameters) -> str:
    return _("Your fine-tune “%(model)s” is ready.") % {"model": parameters.get("model", "")}


def _job_failed(parameters: Parameters) -> str:
    words = _("Your fine-tune of %(model)s on “%(file)s” failed. Its page says why.")
    return words % {"model": parameters.get("model", ""), "file": parameters.get("file", "")}


def _report_decided(parameters: Parameters) -> str:
    """Names what happened to the reply; of an act against a person it says only that there was one."""
    act = parameters.get("act")
    if act == "text.hide":
        return _("A moderator hid a reply that you reported or flagged.")
    if act == "text.keep_out":
        return _("A moderator excluded a reply that you reported or flagged from training.")
    if act == "reports.dismiss":
        return _("A moderator read a reply that you reported or flagged, and left it unchanged.")
    return _("A moderator took action on a reply that you reported or flagged.")


def _warned(parameters: Parameters) -> str:
    return _("A moderator warned you: %(text)s") % {"text": parameters.get("text", "")}


def _tasks_wait(parameters: Parameters) -> str:
    count = int(parameters.get("comparisons", 0))
    if count:
        return ngettext(
            "People decide whether a new version of the model goes live: %(n)d pair of replies is to be compared.",
            "People decide whether a new version of the model goes live: %(n)d pairs of replies are to be compared.",
            count,
        ) % {"n": count}
    return _("There are new replies to rank.")


def _gate_refused(parameters: Parameters) -> str:
    """By the gate itself, or later by a share of the chats (`percent`)."""
    if "percent" in parameters:
        words = _("%(policy)s no longer answers %(percent)s %% of the chats: it was withdrawn. Its page says why.")
        return words % {"policy": parameters.get("policy", ""), "percent": parameters["percent"]}
    words = _("The gate refused %(policy)s: it was not promoted.")
    return words % {"policy": parameters.get("policy", "")}


def _cycle_held_up(parameters: Parameters) -> str:
    return _("Enough was ranked for the next training, but it can't start. The training page says why.")


def _webhook_disabled(parameters: Parameters) -> str:
    words = _("The webhook “%(name)s” was switched off: %(n)s attempts in a row failed. Its page says why.")
    return words % {"name": parameters.get("name", ""), "n": parameters.get("failures", "")}


TEXTS: Mapping[str, Callable[[Parameters], str]] = {
    "policy_promoted": _policy_promoted,
    "policy_rolled_back": _policy_rolled_back,
    "job_succeeded": _job_succeeded,
    "job_failed": _job_failed,
    "report_decided": _report_decided,
    "warned": _warned,
    "tasks_wait": _tasks_wait,
    "gate_refused": _gate_refused,
    "cycle_held_up": _cycle_held_up,
    "webhook_disabled": _webhook_disabled,
}


def text_of(kind: str, parameters: Parameters) -> str:
    """The text of a notice; the kind itself if only another version of the site knew it."""
    return TEXTS[kind](parameters) if kind in TEXTS else kind
