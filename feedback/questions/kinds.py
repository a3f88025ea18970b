"""The table of the kinds of questions."""

from collections.abc import Mapping

from feedback.questions.compare import CompareQuestion
from feedback.questions.correct import CorrectQuestion
from feedback.questions.demonstrate import DemonstrateQuestion
from feedback.questions.grade import GradeQuestion
from feedback.questions.kind import QuestionKind
from feedback.questions.rank import RankQuestion
from feedback.questions.rate import RateQuestion

KINDS: Mapping[str, QuestionKind] = {
    kind.key: kind
    for kind in (
        RankQuestion(),
        CompareQuestion(),
        GradeQuestion(),
        RateQuestion(),
        DemonstrateQuestion(),
        CorrectQuestion(),
    )
}
