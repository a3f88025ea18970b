"""Template filters of the training pages: numbers, durations, states and labels of codes."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from rlhf import labels, reward_facts
from rlhf.figures import figure, percent
from rlhf.models import Evaluation, Run
from rlhf.release.conditions import Condition
from rlhf.release.report_values import number

register = template.Library()
register.filter("figure", figure)
register.filter("percent", percent)
register.filter("reward_alarms", reward_facts.alarms)
ROLLOUT_SPEED = "rollout/tokens_per_second"
"""A metric of PPO."""
TONES = {
    Run.State.QUEUED: "",
    Run.State.RUNNING: "warn",
    Run.State.CANCELLING: "warn",
    Run.State.WAITING: "warn",
    Run.State.SUCCEEDED: "ok",
    Run.State.FAILED: "bad",
    Run.State.CANCELLED: "",
}


@register.filter
def bounds(report: Any, name: str) -> str:
    """The interval whose ends are `<name>low` and `<name>high`; nothing where one is missing."""
    low, high = lookup(report, f"{name}low"), lookup(report, f"{name}high")
    return "" if number(low) is None or number(high) is None else f"{percent(low)} – {percent(high)}"


@register.filter
def duration(seconds: Any) -> str:
    known = number(seconds)
    if known is None:
        return "–"
    if known < 90:
        return ngettext("%(n)d second", "%(n)d seconds", round(known)) % {"n": round(known)}
    if known < 5400:
        return ngettext("%(n)d minute", "%(n)d minutes", round(known / 60)) % {"n": round(known / 60)}
    return _("%(n).1f hours") % {"n": known / 3600}


@register.filter
def tone(state: str) -> str:
    """The badge class of a run's state."""
    return TONES.get(Run.State(state), "")


@register.filter
def stage_word(stage: str) -> str:
    return str(labels.STAGES.get(stage, stage))


@register.filter
def stopped_word(code: str) -> str:
    return str(labels.STOPPED_BY.get(code, code))


@register.filter
def judge_choice(name: str) -> str:
    """Who was asked to judge a cycle's candidate."""
    return str(labels.JUDGES.get(name, name))


@register.filter
def reason_word(reason: dict[str, Any]) -> str:
    return str(labels.REASONS.get(reason.get("code", ""), reason.get("text", "")))


@register.filter
def limit(reason: dict[str, Any]) -> str:
    """The limit with its comparison sign, as in `≤ 10`."""
    sign = reason["sign"] if "sign" in reason else labels.OLD_SIGNS.get(reason.get("code", ""), "")
    return f"{sign} {figure(reason.get('limit'))}".strip()


@register.filter
def limit_of(condition: Condition) -> str:
    return limit({"sign": condition.sign, "limit": condition.limit})


@register.filter
def lookup(mapping: Any, key: str) -> Any:
    return mapping.get(key) if isinstance(mapping, dict) else None


@register.filter
def why_listed(sample: Mapping[str, Any]) -> list[str]:
    """Why a reply is in the table, a sentence for each reason; nothing of one that was drawn at random."""
    told = {
        "rules": ", ".join(sample.get("broken_after") or []),
        "surprise": figure(sample.get("surprise_after")),
        "tokens": figure(sample.get("tokens_after")),
    }
    return [str(labels.WHY_LISTED[code]) % told for code in sample.get("why") or [] if code in labels.WHY_LISTED]


@register.filter
def took(run: Run) -> Any:
    """Seconds from the start of a run to its end; None while it runs."""
    if run.started_at is None or run.ended_at is None:
        return None
    return (run.ended_at - run.started_at).total_seconds()


@register.filter
def computed_by(result: Mapping[str, Any]) -> str:
    """The backend of a run, its device and the dtype of the weights."""
    backend = str(result.get("backend", ""))
    told = {"backend": labels.BACKENDS.get(backend, backend), "device": result.get("device", "–")}
    return _("%(backend)s on %(device)s, weights in %(dtype)s") % {**told, "dtype": result.get("dtype", "–")}


@register.filter
def profile_word(name: str) -> str:
    """As `cpu (for a CPU)`."""
    return f"{name} ({labels.PROFILES[name]})" if name in labels.PROFILES else name


@register.filter
def shared_by(result: Mapping[str, Any]) -> str:
    """The processes of a run, and what joined them."""
    count = int(result["processes"])
    if count == 1:
        return _("one")
    told = {
        "n": count,
        "launcher": result.get("launcher", "–"),
        "way": labels.SHARING.get(result.get("sharing", ""), "–"),
    }
    return _("%(n)d, joined by %(launcher)s (%(way)s)") % told


@register.filter
def sampled_by(run: Run) -> str:
    """Who sampled the completions of a run, and how quickly."""
    servers = int(run.result.get("rollout_servers") or 0)
    who = ngettext("%(n)d model server", "%(n)d model servers", servers) % {"n": servers}
    told = [number(values.get(ROLLOUT_SPEED)) for values in run.metrics.values_list("values", flat=True)]
    speeds = [speed for speed in told if speed is not None]
    speed = round(sum(speeds) / len(speeds)) if speeds else "–"
    return _("%(who)s, %(speed)s tokens per second") % {
        "who": who if servers else _("the training process"),
        "speed": speed,
    }


@register.filter
def judge_word(evaluation: Evaluation) -> str:
    judge = evaluation.judge_used()
    if judge.kind == "gold":
        return _("the simulated annotator's own hidden preference (%(name)s)") % {"name": judge.name}
    if judge.kind == "reward_model":
        return _("a second reward model, trained only on held-out judgements")
    return judge.name
