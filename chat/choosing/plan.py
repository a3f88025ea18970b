"""What has to happen to a reply before it is shown: how many completions it is chosen among, and guarded by what."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.conf import settings
from django.db.models import Q

from chat import site_choices
from chat.choosing.source import ScorerAddress
from chat.engines.engine import MAX_SEED, Parameters
from chat.models import Choice, Pair, Policy, Reply

CHANCE = random.SystemRandom()


@dataclass(frozen=True)
class Plan:
    """Of one reply; `choice` is the row that records it."""

    choice: int
    best_of: int
    thresholds: Mapping[str, float]
    scorer: ScorerAddress | None
    parameters: Parameters


def most_completions() -> int:
    """That a reply may need of its engine at once."""
    return _most_of(site_choices.get().best_of)


def _most_of(best_of: int) -> int:
    return min(best_of, int(settings.CHAT_ENGINE_SLOTS))


@dataclass(frozen=True)
class ReplyNeeds:
    """What has to happen to a reply, as far as the site's choices say."""

    best_of: int
    thresholds: Mapping[str, float]


def needs_of(reply: Reply, parameters: Parameters) -> ReplyNeeds | None:
    """None where the reply is shown while it is written, which is so unless an admin chose otherwise.

    Two replies side by side are not chosen, since each stands for its policy; nor is one at temperature 0, of which
    all completions are the same. Both are guarded.
    """
    choices = site_choices.get()
    best_of = 1 if parameters.temperature == 0 or _is_in_pair(reply) else _most_of(choices.best_of)
    if best_of == 1 and not choices.rule_thresholds:
        return None
    return ReplyNeeds(best_of, choices.rule_thresholds)


def plan_for(reply: Reply, parameters: Parameters, needs: ReplyNeeds, scorer: ScorerAddress | None) -> Plan | None:
    """None where nobody can score it and nothing is guarded."""
    if scorer is None and not needs.thresholds:
        return None
    best_of = needs.best_of
    if best_of > 1 and (parameters.seed is None or parameters.seed + best_of - 1 > MAX_SEED):
        parameters = replace(parameters, seed=CHANCE.randrange(MAX_SEED - best_of))
    values = {
        "best_of": best_of,
        "seed": parameters.seed,
        "thresholds": needs.thresholds,
        "scorer": scorer.label[:120] if scorer else "",
    }
    choice, _ = Choice.objects.update_or_create(reply=reply, defaults=values)
    return Plan(choice.pk, best_of, needs.thresholds, scorer, parameters)


def scored_policy() -> Policy | None:
    """The live policy, where its replies are chosen or guarded now."""
    choices = site_choices.get()
    if choices.best_of == 1 and not choices.rule_thresholds:
        return None
    return Policy.objects.filter(is_live=True).first()


def _is_in_pair(reply: Reply) -> bool:
    return Pair.objects.filter(Q(left=reply) | Q(right=reply)).exists()
