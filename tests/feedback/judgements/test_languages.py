"""Annotators get tasks in their own languages, and are told why where there are none."""

import pytest
from django.utils import translation

from feedback.judgements import languages, task_queue
from tests.feedback.ranking_tasks import make_task, take_task


def tasks(policy):
    return {code: make_task(policy, f"What? {code}", language=code) for code in ("ko", "en", "fr")}


def test_the_languages_are_the_pages_and_english_until_a_person_chooses(policy, annotator, settings):
    settings.FEEDBACK_LANGUAGES = ["en", "fr"]
    with translation.override("ko"):
        assert languages.languages_of(annotator) == ["en", "ko"]
    with translation.override("en"):
        assert languages.languages_of(annotator) == ["en"]
        languages.choose(annotator, ["fr", "xx"])
    annotator.refresh_from_db()
    assert languages.languages_of(annotator) == ["fr"]
    languages.choose(annotator, [])
    assert languages.languages_of(annotator) == ["en"]


def test_tasks_in_other_languages_are_neither_offered_nor_counted(policy, annotator, settings):
    settings.FEEDBACK_LANGUAGES = ["en", "fr"]
    made = tasks(policy)
    assert take_task(annotator) == made["en"]
    task_queue.skip(made["en"].pk, annotator, "other")
    assert take_task(annotator) is None
    assert task_queue.progress(annotator)["waiting"] == 1
    languages.choose(annotator, ["fr"])
    assert take_task(annotator) == made["fr"]


def test_a_person_whose_languages_have_no_tasks_is_told_which_do(policy, annotator, signed_in, settings):
    settings.FEEDBACK_LANGUAGES = ["ko"]
    client = signed_in(annotator, accept_language="en")
    shown = client.get("/rank/").content.decode()
    assert "This site has tasks in: Korean. You judge in: English." in shown
    assert client.post("/rank/languages/", {"language": ["ko"]}).status_code == 302
    assert "This site has tasks in" not in client.get("/rank/").content.decode(), "they come in a minute"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_settings_of_annotators_show_the_languages_and_those_of_others_do_not(
    policy, annotator, person, signed_in, language
):
    shown = signed_in(annotator, accept_language=language).get("/account/").content.decode()
    assert shown.count('name="language" value="en" checked') == 1
    assert "s-judging" not in signed_in(person("carl"), accept_language=language).get("/account/").content.decode()
