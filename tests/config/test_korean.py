"""The Korean catalogue: complete, certain, and of the strings that the code has."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parent.parent.parent
CATALOGUE = ROOT / "locale/ko/LC_MESSAGES/django.po"
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[.\d]*[sdrf]|%%|<[^>]+>|\{\w+\}")


def entries(path=CATALOGUE):
    with path.open("rb") as source:
        return [message for message in read_po(source, locale="ko") if message.id]


def forms(text):
    return text if isinstance(text, tuple) else (text,)


def test_no_string_is_untranslated():
    assert [message.id for message in entries() if not all(forms(message.string))] == []


def test_no_translation_is_a_guess():
    assert [message.id for message in entries() if message.fuzzy] == []


def test_placeholders_and_tags_are_kept():
    wrong = [
        message.id
        for message in entries()
        if sorted(PLACEHOLDER.findall(forms(message.id)[-1])) != sorted(PLACEHOLDER.findall(forms(message.string)[0]))
    ]
    assert wrong == []


def test_no_particle_is_left_open():
    """A name is followed by a noun of ours, which has its own particle: never by a pair such as 을(를)."""
    pair = re.compile(r"[을이은와과]\([를가는과와]\)|\((?:으|이)\)")
    assert [message.id for message in entries() if any(pair.search(form) for form in forms(message.string))] == []


def test_the_words_of_the_site_are_the_same_everywhere():
    words = {"annotator": "평가자", "rule": "규칙", "policy": "정책 모델", "reward model": "보상 모델"}
    words |= {"moderator": "운영자", "snapshot": "스냅숏", "Gate": "관문", "Ranking": "순위", "rollback": "롤백"}
    translated = {message.id: message.string for message in entries()}
    assert {word: translated[word] for word in words} == words


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="xgettext is not installed (apt-get install gettext)")
def test_the_catalogue_has_the_strings_of_the_code(tmp_path):
    """Collects them anew in a copy, as `make messages` does, and compares."""
    apps = ("base", "accounts", "api", "chat", "config", "feedback", "metering", "rlhf", "fine_tuning", "lecture")
    for name in (*apps, "templates", "locale"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path)
    command = "makemessages -l ko --no-wrap --no-location --ignore tests"
    assert command in (ROOT / "Makefile").read_text(encoding="utf-8")
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    collected = {message.id for message in entries(tmp_path / CATALOGUE.relative_to(ROOT))}
    known = {message.id for message in entries()}
    assert sorted(map(str, collected - known)) == [], "run `make messages` and translate"
    assert sorted(map(str, known - collected)) == [], "run `make messages`: these are in the code no more"
