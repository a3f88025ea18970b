"""The question that is always there: an order of the replies. Its page is that of ranking tasks."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from feedback.judgements.judgement import Judgement, check
from feedback.models import Project, Ranking
from feedback.questions import spread
from feedback.questions.kind import AskedTask, Fields, QuestionKind, Said, ToldLine

PLACE = "place-"


class RankQuestion(QuestionKind):
    key = Project.Question.RANK
    heading = _("Rank the replies")
    instruction = _("Give each reply a rank; 1 is best, equal ranks are ties.")
    least = 2
    threshold = 0.5
    is_order = True

    def read(self, given: Fields, asked: AskedTask) -> Said:
        places = [(name[len(PLACE) :], value) for name, value in given.items() if name.startswith(PLACE)]
        overall = given.get("overall", "")
        checked = check(Judgement(places, overall=overall), asked.ids)
        return {"ranks": checked.ranks, "strength": checked.strength, "overall": checked.overall}

    def fields(self, said: Said, asked: AskedTask) -> dict[str, str]:
        return {f"{PLACE}{pk}": str(rank) for pk, rank in said["ranks"].items()} | {"overall": said["overall"]}

    def page(self, given: Fields, asked: AskedTask) -> dict[str, Any]:
        cards = [
            {"letter": letter, "reply": reply, "place": given.get(f"{PLACE}{reply.pk}", "")}
            for letter, reply in asked.lettered()
        ]
        return {"cards": cards, "places": [str(place) for place in range(1, len(cards) + 1)]}

    def told(self, said: Said, asked: AskedTask) -> list[ToldLine]:
        letters = {str(reply.pk): letter for letter, reply in asked.lettered()}
        by_rank: dict[int, list[str]] = {}
        for pk, rank in said["ranks"].items():
            by_rank.setdefault(rank, []).append(letters.get(pk, "?"))
        order = " > ".join(" = ".join(sorted(by_rank[rank])) for rank in sorted(by_rank))
        overall = dict(Ranking.Overall.choices).get(said["overall"])
        return [
            ToldLine(gettext("Order"), order),
            *([ToldLine(gettext("All replies alike"), overall)] if overall else []),
        ]

    def disagreement(self, said: Sequence[Said]) -> float:
        return spread.of_orders([one["ranks"] for one in said])
