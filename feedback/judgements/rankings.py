"""Rankings as data: validation, dense ranks, and the pairs that a ranking stands for. Pure functions."""

from collections.abc import Iterable, Mapping
from itertools import combinations

from django.utils.translation import gettext as _


class BadRanking(ValueError):
    """A mapping that does not rank each completion of its task exactly once."""

    code = "bad_ranking"


def pairs(ranks: Mapping[str, int]) -> list[tuple[int, int]]:
    """(better id, worse id) for each pair that is not tied; at most K(K-1)/2."""
    found = []
    for (one, rank_of_one), (other, rank_of_other) in combinations(sorted(ranks.items()), 2):
        if rank_of_one < rank_of_other:
            found.append((int(one), int(other)))
        elif rank_of_one > rank_of_other:
            found.append((int(other), int(one)))
    return found


def validated(given: Iterable[tuple[object, object]], completion_ids: Iterable[int]) -> dict[str, int]:
    """Dense ranks (1, 2, 2, 3) by completion id, from the (id, place) pairs of a form. Raises BadRanking."""
    places: dict[int, int] = {}
    expected = set(completion_ids)
    for raw_id, raw_place in given:
        completion, place = parse_integer(raw_id), parse_integer(raw_place)
        if completion not in expected:
            raise BadRanking(_("The ranking includes a reply that is not part of this task."))
        if completion in places:
            raise BadRanking(_("The ranking includes one reply twice. Rank each reply once."))
        if not 1 <= place <= len(expected):
            raise BadRanking(_("A rank must be a number from 1 to %(last)d.") % {"last": len(expected)})
        places[completion] = place
    if missing := len(expected - set(places)):
        raise BadRanking(
            _("%(missing)d of %(total)d replies are not ranked. Rank every reply.")
            % {"missing": missing, "total": len(expected)}
        )
    return dense(places)


def dense(places: Mapping[int, float]) -> dict[str, int]:
    """The same order with ranks 1, 2, 3 and no gaps."""
    order = sorted(set(places.values()))
    return {str(completion): order.index(place) + 1 for completion, place in places.items()}


def parse_integer(value: object) -> int:
    """An integer from a form or JSON; no floats, booleans, signs or digits of other scripts. Raises BadRanking."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    raise BadRanking(_("Ranks must be whole numbers; %(value)r is not one.") % {"value": str(value)[:40]})
