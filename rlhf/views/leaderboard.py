"""The leaderboard: how people's choices rate the policies that a reader may see, for whoever is signed in."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.models import User
from chat.languages import name_of
from chat.models import Policy
from feedback.leaderboard import figures, standings
from feedback.leaderboard.bradley_terry import PRIOR_SD
from feedback.leaderboard.figures import LeaderboardFigures
from feedback.leaderboard.intervals import POINTS
from feedback.leaderboard.standings import ComparedGroup
from rlhf import visibility
from rlhf.charts import rating_charts
from rlhf.views.overview import user_of

PROGRAMS = "programs"
MOST_UNRATED = 50


@require_GET
def leaderboard(request: HttpRequest) -> HttpResponse:
    """`judges=programs` shows what simulated annotators said, never mixed with people; `language` a prompt's code."""
    simulated = request.GET.get("judges") == PROGRAMS
    found, language = figures.current(simulated=simulated), request.GET.get("language", "")
    languages = found.languages
    if language in languages:
        found = figures.current(simulated=simulated, language=language)
    else:
        language = ""
    context = {
        "figures": found,
        "simulated": simulated,
        "judges": PROGRAMS if simulated else "",
        "language": language,
        "languages": [(code, name_of(code)) for code in languages],
        "prior_points": round(PRIOR_SD * POINTS),
        "least_for_style": standings.LEAST_FOR_STYLE,
        **_shown(found, user_of(request)),
    }
    return render(request, "rlhf/leaderboard.html", context)


def _shown(found: LeaderboardFigures, reader: User) -> dict[str, Any]:
    """Groups of policies that the reader may see, and those of them that nobody compared yet."""
    seen = visibility.policies_for(reader)
    known = seen.in_bulk(found.policies)
    by_place = {place: known[pk] for place, pk in enumerate(found.policies) if pk in known}
    groups = [_group(found, group, by_place) for group in found.groups]
    unrated = seen.filter(retired_at=None).exclude(pk__in=found.policies).order_by("-version")[:MOST_UNRATED]
    return {"groups": [group for group in groups if group["rows"]], "unrated": list(unrated)}


def _group(found: LeaderboardFigures, group: ComparedGroup, policies: dict[int, Policy]) -> dict[str, Any]:
    rows = [row for row in group.standings if row.competitor in policies]
    pictures = rating_charts.pictures([(row.plain.low, row.plain.rating, row.plain.high) for row in rows])
    places = [row.competitor for row in rows]
    names = {place: policies[place].name for place in places}
    return {
        "rows": [
            {"policy": policies[row.competitor], "standing": row, "picture": picture}
            for row, picture in zip(rows, pictures, strict=True)
        ],
        "effects": list(zip(_features(), group.effects, strict=True)) if group.effects else [],
        "matrix": [(policies[row], [_cell(found, row, column) for column in places]) for row in places],
        "columns": [policies[place] for place in places],
        "course": rating_charts.course(found.course, names),
        "months": [
            (rating_charts.month_name(month), [ratings.get(place) for place in places[: rating_charts.MOST_CURVES]])
            for month, ratings in found.course
        ],
    }


def _cell(found: LeaderboardFigures, row: int, column: int) -> dict[str, Any]:
    count = int(found.counts[row, column])
    return {"share": float(found.wins[row, column]) / count, "votes": count} if count else {}


def _features() -> list[str]:
    return [_("length"), _("list items"), _("headings"), _("bold passages")]
