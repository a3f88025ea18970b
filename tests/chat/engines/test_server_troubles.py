"""What is wrong with a model server: stored by its code, and told in the language of who reads it."""

import pytest
from django.utils import translation

from chat.engines.servers.troubles import TEXTS, Trouble


@pytest.mark.parametrize("code", TEXTS)
def test_each_is_stored_and_told_in_both_languages(code):
    trouble = Trouble(code, "policy: 1")
    assert Trouble.read(trouble.stored) == trouble
    with translation.override("ko"):
        korean, logged = trouble.text, str(trouble)
    with translation.override("en"):
        assert trouble.text == logged
    assert (korean == logged) is (code == "other")  # in the words of who said it
    assert ("policy: 1" in korean) is ("%(detail)s" in str(TEXTS[code]))


def test_what_has_no_code_is_told_as_it_is():
    assert Trouble.read("refused: 12%").text == "refused: 12%"
