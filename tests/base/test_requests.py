"""What views ask of a request."""

import pytest

from base.requests import filters_of, wants_json


@pytest.mark.parametrize(
    ("accept", "is_wanted"),
    [
        ("application/json", True),
        ("application/json, text/plain;q=0.5", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (None, False),
    ],
)
def test_scripts_want_json_and_browsers_a_page(rf, accept, is_wanted):
    assert wants_json(rf.get("/", headers={"accept": accept} if accept else {})) is is_wanted


def test_links_to_other_pages_have_the_same_filters(rf):
    assert filters_of(rf.get("/?page=3&verb=user.suspend&verb=user.lift")) == "verb=user.suspend&verb=user.lift"
    assert filters_of(rf.get("/")) == ""
