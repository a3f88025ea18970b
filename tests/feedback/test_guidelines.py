"""Guidelines: which version is in force, who learns of a change, and editing with preview, history and audit."""

import pytest
from django.utils import translation

from accounts.models import AuditEntry
from accounts.roles import Role
from feedback import guidelines
from feedback.judgements import task_queue
from feedback.models import Guidelines, Project, Ranking
from tests.feedback.ranking_tasks import make_task, take_task

pytestmark = pytest.mark.django_db
EDIT = "/rank/guidelines/edit/"


@pytest.fixture
def admin(person):
    return person("ada", Role.ADMIN)


def edit(admin, text="Be kind.", korean="", **fields):
    return guidelines.edit(text, korean, actor=admin, **{"based_on": guidelines.current().number} | fields)


def test_a_new_site_has_the_text_that_comes_along_in_both_languages():
    found = guidelines.current()
    assert (found.number, found.pk) == (1, None)
    assert "Put them in order" in found.text
    with translation.override("ko"):
        assert "순위를 매겨 주세요" in found.text


def test_an_edit_adds_a_version_keeps_the_first_and_leaves_an_entry(admin):
    first = guidelines.current().text_en
    made = edit(admin)
    assert [row.number for row in guidelines.history()] == [2, 1]
    assert guidelines.history()[1].text_en == first
    assert guidelines.current() == made
    entry = AuditEntry.objects.get(verb="guidelines.edit")
    assert (entry.actor, entry.before["version"], entry.after["text_en"]) == (admin, 1, "Be kind.")


def test_an_edit_that_changes_nothing_adds_none(admin):
    made = edit(admin)
    assert edit(admin) == made
    assert Guidelines.objects.count() == 2
    assert AuditEntry.objects.filter(verb="guidelines.edit").count() == 1


def test_who_edits_an_old_version_is_refused(admin):
    edit(admin)
    with pytest.raises(guidelines.StaleGuidelines) as refusal:
        edit(admin, "Be quick.", based_on=1)
    assert refusal.value.newest == 2
    assert guidelines.current().text_en == "Be kind."


def test_without_a_korean_text_everybody_reads_the_english_one(admin):
    edit(admin)
    with translation.override("ko"):
        assert guidelines.current().text == "Be kind."


def test_a_project_has_its_own_or_those_of_the_site(admin):
    course, other = (Project.objects.create(key=key) for key in ("course", "other"))
    edit(admin, "For the course.", project=course, based_on=1)
    edit(admin, "For all.", based_on=1)
    assert guidelines.current(course).text_en == "For the course."
    assert guidelines.current(other).text_en == guidelines.current().text_en == "For all."
    assert sorted(Guidelines.objects.values_list("number", flat=True)) == [1, 2, 3]


def test_a_ranking_has_the_version_under_which_it_was_made(policy, annotator, admin):
    for wanted in (1, 2):
        task = make_task(policy, f"Question {wanted}?")
        assert take_task(annotator) == task
        ids = task.completions.values_list("pk", flat=True)
        task_queue.submit(task.pk, annotator, task_queue.Judgement([(pk, 1) for pk in ids]))
        edit(admin)
    assert list(Ranking.objects.order_by("pk").values_list("guidelines_version", flat=True)) == [1, 2]


def test_a_change_is_news_once_and_not_before_the_first_task(annotator, admin):
    assert not guidelines.is_news(annotator, 1)
    assert [guidelines.is_news(annotator, 2), guidelines.is_news(annotator, 2)] == [True, False]


def test_who_has_opened_a_version_knows_it(annotator):
    guidelines.is_news(annotator, 1)
    guidelines.see(annotator, 2)
    assert not guidelines.is_news(annotator, 2)


def test_the_task_page_tells_of_a_change_once_and_has_the_text(policy, annotator, admin, signed_in):
    make_task(policy)
    client = signed_in(annotator)
    assert "The guidelines have changed" not in client.get("/rank/").content.decode()
    edit(admin, "Be **kind**.")
    shown = client.get("/rank/").content.decode()
    assert "The guidelines have changed: version 2" in shown
    assert "<strong>kind</strong>" in shown
    assert "The guidelines have changed" not in client.get("/rank/").content.decode()


def test_lines_that_changed_are_told_apart():
    lines = guidelines.difference("a\nb\nc\nd\ne\nf", "a\nb\nc\nd\nE\nf")
    assert [(line.kind, line.text) for line in lines] == [
        ("gap", ""),
        ("kept", "c"),
        ("kept", "d"),
        ("removed", "e"),
        ("added", "E"),
        ("kept", "f"),
    ]
    assert guidelines.difference("a", "a") == []


def test_an_admin_sees_a_preview_without_storing_it(admin, signed_in):
    given = {"text_en": "Be **kind**.", "text_ko": "", "based_on": 1, "preview": "1"}
    shown = signed_in(admin).post(EDIT, given).content.decode()
    assert "<strong>kind</strong>" in shown
    assert "Not saved yet." in shown
    assert not Guidelines.objects.exists()


def test_an_admin_stores_a_version_and_sees_what_it_changed(admin, signed_in):
    client = signed_in(admin)
    client.post(EDIT, {"text_en": "Be kind.\r\nBe quick.", "text_ko": "", "based_on": 1})
    assert guidelines.current().text_en == "Be kind.\nBe quick."
    shown = client.get(EDIT).content.decode()
    assert "<ins>Be quick.</ins>" in shown
    assert "<del>## Ties</del>" in shown


def test_a_form_of_an_old_version_is_kept_and_can_be_sent_again(admin, signed_in):
    client = signed_in(admin)
    edit(admin)
    refused = client.post(EDIT, {"text_en": "Be quick.", "text_ko": "", "based_on": 1})
    assert refused.status_code == 400
    assert "Somebody else stored version 2" in refused.content.decode()
    assert 'name="based_on" value="2"' in refused.content.decode()
    assert "Be quick." in refused.content.decode()


@pytest.mark.parametrize("text", ["", "x" * 20_001])
def test_a_text_that_is_empty_or_too_long_is_refused(admin, signed_in, text):
    assert signed_in(admin).post(EDIT, {"text_en": text, "text_ko": "", "based_on": 1}).status_code == 400
    assert not Guidelines.objects.exists()


def test_markdown_of_an_admin_brings_no_script_to_annotators(annotator, admin, signed_in):
    edit(admin, "<script>alert(1)</script> [x](javascript:alert(1))")
    shown = signed_in(annotator).get("/rank/guidelines/").content.decode()
    assert "<script>alert" not in shown
    assert 'href="javascript' not in shown


def test_annotators_do_not_edit(annotator, signed_in):
    assert signed_in(annotator).get(EDIT).status_code == 403
