"""The question which of two replies is better, and how much; a ranking of two."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from feedback.models import Project, Ranking
from feedback.questions.kind import AskedTask, BadAnswer, Fields, Said, chosen
from feedback.questions.rank import RankQuestion

SCALE = {
    "a3": _("A is much better"),
    "a2": _("A is clearly better"),
    "a1": _("A is slightly better"),
    "0": _("equally good"),
    "b1": _("B is slightly better"),
    "b2": _("B is clearly better"),
    "b3": _("B is much better"),
}
ALIKE = {Ranking.Overall.GOOD.value: _("both are good"), Ranking.Overall.BAD.value: _("both are bad")}


class CompareQuestion(RankQuestion):
    key = Project.Question.COMPARE
    heading = _("Compare the replies")
    instruction = _("Which reply is better, and how much? Nobody is told who wrote which.")
    most = 2
    threshold = 0.75

    def read(self, given: Fields, asked: AskedTask) -> Said:
        choice = given.get("choice", "")
        if choice not in {**SCALE, **ALIKE} or len(asked.ids) != 2:
            raise BadAnswer(str(_("Say which reply is better, or that neither is.")))
        one, other = map(str, asked.ids)
        if choice in ALIKE or choice == "0":
            return {"ranks": {one: 1, other: 1}, "strength": [], "overall": choice if choice in ALIKE else ""}
        is_first = choice[0] == "a"
        return {"ranks": {one: 2 - is_first, other: 1 + is_first}, "strength": [int(choice[1])], "overall": ""}

    def fields(self, said: Said, asked: AskedTask) -> dict[str, str]:
        one, other = (said["ranks"][str(pk)] for pk in asked.ids)
        if one == other:
            return {"choice": said["overall"] or "0"}
        side = "a" if one < other else "b"
        return {"choice": f"{side}{(said['strength'] or [1])[0] or 1}"}

    def page(self, given: Fields, asked: AskedTask) -> dict[str, Any]:
        choice = given.get("choice", "")
        cards = [{"letter": letter, "reply": reply} for letter, reply in asked.lettered()]
        return {"cards": cards, "scale": chosen(choice, SCALE), "alike": chosen(choice, ALIKE)}
