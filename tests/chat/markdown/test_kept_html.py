"""HTML that is kept: one rendering for many readers, none of another language or way, and none for long."""

import pytest
from django.utils import translation

from chat.markdown import kept_html, rendering
from chat.markdown.kept_html import KeptHtml


@pytest.fixture
def made():
    return []


@pytest.fixture
def get(made):
    kept = KeptHtml(most_bytes=10)

    def get(text, way="shown", html="12345"):
        return kept.get(text, way, lambda: made.append((text, way)) or html)

    return get


def test_a_text_is_rendered_once(get, made):
    assert get("a") == get("a") == "12345"
    assert made == [("a", "shown")]


def test_another_text_way_or_language_is_rendered_by_itself(get, made):
    get("a")
    get("b")
    get("a", way="judged")
    with translation.override("ko"):
        get("a", way="judged")
    assert len(made) == 4


def test_the_oldest_goes_when_there_is_too_much(get, made):
    for text in ("a", "b", "c", "c", "b", "a"):
        get(text)
    assert [text for text, _way in made].count("a") == 2


def test_none_is_kept_for_long(get, made, monkeypatch):
    get("a")
    monkeypatch.setattr(kept_html, "KEPT_S", -1.0)
    get("a")
    assert len(made) == 2


def test_pages_that_show_a_reply_render_it_once(monkeypatch):
    rendered = []
    monkeypatch.setattr(rendering, "_html", lambda text, shows_targets: rendered.append(text) or "<p>x</p>")
    monkeypatch.setattr(rendering, "_kept", KeptHtml())
    assert rendering.render("**x**") == rendering.render("**x**")
    assert rendered == ["**x**"]
