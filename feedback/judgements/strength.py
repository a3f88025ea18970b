"""How much better one rank is than the next, as the annotator said it, and the margins that follow for pairs."""

from collections.abc import Mapping, Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from feedback.judgements.rankings import BadRanking, pairs, parse_integer

STEPS = {
    0: gettext_lazy("not said"),
    1: gettext_lazy("slightly"),
    2: gettext_lazy("clearly"),
    3: gettext_lazy("much"),
}
LARGEST = max(STEPS)


def validated(given: Mapping[int, object], places: Mapping[int, int]) -> list[int]:
    """The step from each rank to the next, best first, from `given`: place -> step, of the places in use.

    Empty where nothing was said. Raises BadRanking. `places`: completion id -> place, not necessarily dense.
    """
    steps = [_step(given.get(place, 0)) for place in sorted(set(places.values()))[:-1]]
    return steps if any(steps) else []


def _step(raw: object) -> int:
    step = parse_integer(raw or 0)
    if step not in STEPS:
        raise BadRanking(_("How much better must be a number from 0 to %(last)d.") % {"last": LARGEST})
    return step


def margins(ranks: Mapping[str, int], strength: Sequence[int]) -> dict[tuple[int, int], float]:
    """(better id, worse id) -> margin of the pair in the reward model's loss, of those of which anything was said.

    Llama 2 (Touvron et al. 2023, arXiv:2307.09288, section 3.2.2 and table 27, "small"): 1 for significantly better,
    2/3 for better, 1/3 for slightly better, 0 for negligibly better, which a tie says here. Over several ranks, it is
    the largest step between them: they are at least that far apart.
    """
    if not strength:
        return {}
    between = {
        pair: max(strength[ranks[str(pair[0])] - 1 : ranks[str(pair[1])] - 1], default=0) for pair in pairs(ranks)
    }
    return {pair: step / LARGEST for pair, step in between.items() if step}
