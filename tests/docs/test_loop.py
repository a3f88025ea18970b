"""The picture of the loop: as fresh as its text, in both languages and colours, with words that fit."""

import tomllib
import unicodedata
from xml.etree import ElementTree

import pytest
from django.conf import settings

from docs import loop
from docs.tree import ROOT

WORDS = tomllib.loads((ROOT / "docs/loop.toml").read_text(encoding="utf-8"))["languages"]
WIDEST = 40
"""Of a line in a card, in half-width characters: more would leave the card in a wide font."""


PICTURES = {**loop.pictures(), **loop.site_pictures()}


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_each_picture_is_fresh_and_well_formed(path):
    drawn = PICTURES[path]
    assert path.read_text(encoding="utf-8") == drawn, f"{path.name} is old: make tree"
    ElementTree.fromstring(drawn)  # noqa: S314  (drawn by ourselves)


def test_there_is_one_for_each_language_and_scheme():
    assert {path.name for path in loop.pictures()} == {path.name for path in ROOT.glob("docs/loop*.svg")}
    assert {"loop.svg", "loop-dark.svg", "loop.ko.svg", "loop-dark.ko.svg"} == {p.name for p in loop.pictures()}


def test_the_site_has_one_for_each_of_its_languages_and_leaves_colours_to_its_style_sheet():
    assert {path.stem for path in loop.site_pictures()} == {code for code, _name in settings.LANGUAGES}
    for drawn in loop.site_pictures().values():
        assert "<style" not in drawn
        assert 'class="step"' in drawn


@pytest.mark.parametrize("language", WORDS)
def test_the_folders_that_it_names_exist(language):
    assert [step["folder"] for step in WORDS[language]["steps"] if not (ROOT / step["folder"]).is_dir()] == []


@pytest.mark.parametrize("language", WORDS)
def test_its_words_fit_their_cards(language):
    lines = [line for step in WORDS[language]["steps"] for line in step["says"]]
    assert [line for line in lines if width(line) > WIDEST] == []


def width(line):
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)
