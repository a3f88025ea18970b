"""A websocket of another origin is refused, whatever stands in the header."""

from urllib.parse import urlparse

import pytest

from config.origins import StrictOrigins

OURS = "http://127.0.0.1:8401"


@pytest.mark.parametrize(
    "origin", [f"{OURS}.evil.com", "http://127.0.0.1:99999999", "http://127.0.0.1", "https://evil.com", "null", ""]
)
def test_it_is_refused_and_is_no_error_of_the_server(origin):
    assert not StrictOrigins(None, [OURS]).valid_origin(urlparse(origin))


def test_ours_is_let_in():
    assert StrictOrigins(None, [OURS]).valid_origin(urlparse(OURS))
