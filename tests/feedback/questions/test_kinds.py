"""Each kind of question: what its form says is stored, told and read back; what is incomplete is refused."""

import pytest
from django.template.loader import get_template
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.judgements import task_queue
from feedback.judgements.rankings import BadRanking
from feedback.models import Project, Violation
from feedback.questions.compare import ALIKE, SCALE
from feedback.questions.kind import BadAnswer, asked
from feedback.questions.kinds import KINDS
from tests.feedback.questions.asked_projects import REPLIES, make_project, right

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("seeds")]
EACH = pytest.mark.parametrize("question", KINDS)


@pytest.fixture
def before(person):
    """The task of a project with this question, as it stands before somebody."""

    def make(question):
        ann = person(f"judge-{question}")
        make_project(question, members=[ann.username])
        own = task_queue.next_assignment(ann)
        return asked(own.task, own.shown_order)

    return make


def test_every_question_of_a_project_has_a_kind_and_a_form():
    assert list(KINDS) == Project.Question.values
    for kind in KINDS.values():
        get_template(kind.template)
        assert kind.least <= REPLIES[kind.key] <= kind.most


@EACH
def test_an_answer_is_read_back_from_its_own_fields(before, question):
    of, kind = before(question), KINDS[question]
    for number in range(4):
        said = kind.read(right(question, of, number), of)
        assert kind.read(kind.fields(said, of), of) == said
        assert all(str(line.value) for line in kind.told(said, of))
        assert kind.page(kind.fields(said, of), of)


@EACH
def test_the_same_answers_do_not_disagree(before, question):
    of, kind = before(question), KINDS[question]
    said = kind.read(right(question, of), of)
    assert kind.disagreement([said, said, said]) == 0


@pytest.mark.parametrize("question", [key for key, kind in KINDS.items() if kind.threshold is not None])
def test_opposite_answers_go_to_a_lead(before, question):
    opposite = {"rank": (0, 1), "correct": ("It is, very.", "zzz"), "rate": (0, 2)}
    one, other = opposite.get(question, (0, 1))
    of, kind = before(question), KINDS[question]
    if question == "correct":
        said = [kind.read({"text": text}, of) for text in (one, other)]
    else:
        said = [kind.read(right(question, of, number), of) for number in (one, other)]
    assert kind.disagreement(said) >= kind.threshold


@EACH
def test_an_empty_form_is_refused_with_words(before, question):
    with pytest.raises((BadAnswer, BadRanking)) as refused:
        KINDS[question].read({}, before(question))
    assert len(str(refused.value)) > 20


@EACH
def test_whatever_is_sent_is_refused_or_complete(before, question):
    of, kind = before(question), KINDS[question]
    fields = right(question, of)

    @given(st.fixed_dictionaries({}, optional={name: st.text(max_size=12) for name in fields}))
    @settings(max_examples=20, deadline=None)
    def check(sent):
        try:
            said = kind.read({**fields, **sent}, of)
        except (BadAnswer, BadRanking):
            return
        assert kind.read(kind.fields(said, of), of) == said

    check()


@pytest.mark.parametrize("choice", [*SCALE, *ALIKE])
def test_a_comparison_is_a_ranking_of_two(before, choice):
    of, kind = before("compare"), KINDS["compare"]
    said = kind.read({"choice": choice}, of)
    first, second = (said["ranks"][str(pk)] for pk in of.ids)
    assert (first > second) - (first < second) == {"a": -1, "b": 1}.get(choice[0] if choice not in ALIKE else "", 0)
    assert said["strength"] == ([int(choice[1])] if choice[0] in "ab" and choice not in ALIKE else [])
    assert kind.fields(said, of) == {"choice": choice}


def test_who_is_unsure_of_a_rule_disagrees_with_nobody(before):
    of, kind = before("grade"), KINDS["grade"]
    breaks, follows, unsure = (kind.read(right("grade", of, number), of) for number in range(3))
    assert kind.disagreement([breaks, unsure]) == kind.disagreement([follows, unsure]) == 0
    assert kind.disagreement([breaks, unsure, follows]) == 1


def test_a_grade_is_of_the_project_s_rule_and_no_other(before):
    of, kind = before("grade"), KINDS["grade"]
    other = Violation.rule_version.field.related_model.objects.exclude(rule=of.rule.rule).first()
    for version in (str(other.pk), "999999", "x", ""):
        with pytest.raises(BadAnswer):
            kind.read({**right("grade", of), "version": version}, of)


def test_an_unchanged_reply_has_to_be_called_right(before):
    of, kind = before("correct"), KINDS["correct"]
    text = of.replies[0].text
    with pytest.raises(BadAnswer):
        kind.read({"text": f" {text}\r\n"}, of)
    assert kind.read({"text": text, "as_it_is": "on"}, of)["text"] == text


@pytest.mark.parametrize("text", ["", " \n ", "a\0b", "\ud800", "x" * 20_001])
def test_a_text_that_cannot_be_stored_is_refused(before, text):
    with pytest.raises(BadAnswer):
        KINDS["demonstrate"].read({"text": text}, before("demonstrate"))
