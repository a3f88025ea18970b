"""Catalogues are compiled without gettext, and only when they must be."""

import gettext
import os

from config.translations import LOCALE, compile_catalogues, stale_catalogues

PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "sparrow"\nmsgstr "참새"\n'


def test_a_catalogue_is_compiled_once_and_again_when_its_source_is_newer(tmp_path):
    source = tmp_path / "ko/LC_MESSAGES/django.po"
    source.parent.mkdir(parents=True)
    source.write_text(PO, encoding="utf-8")
    (written,) = compile_catalogues(tmp_path)
    with written.open("rb") as compiled:
        assert gettext.GNUTranslations(compiled).gettext("sparrow") == "참새"
    assert compile_catalogues(tmp_path) == []
    later = written.stat().st_mtime + 10
    os.utime(source, (later, later))
    assert compile_catalogues(tmp_path) == [written]


def test_the_site_s_own_catalogues_compile():
    compile_catalogues()
    assert stale_catalogues(LOCALE) == []
