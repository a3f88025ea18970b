"""The manifest by which browsers install the site."""

import struct
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

pytestmark = pytest.mark.django_db


def manifest(language):
    answer = Client(headers={"accept-language": language}).get("/app.webmanifest")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/manifest+json"
    assert "manifest-src 'self'" in answer["Content-Security-Policy"]
    return answer.json()


def test_it_has_what_browsers_need_to_install_the_site():
    content = manifest("en")
    assert (content["start_url"], content["display"], content["lang"]) == ("/", "standalone", "en")
    kinds = {(icon["sizes"], icon["purpose"]) for icon in content["icons"]}
    assert {("192x192", "any"), ("512x512", "any"), ("512x512", "maskable")} <= kinds


def test_it_is_in_the_language_of_the_page():
    assert manifest("ko")["name"] == "참새 대화"
    assert manifest("en")["name"] == "Chamsae chat"


def test_each_icon_is_a_picture_of_the_size_that_it_is_said_to_have():
    for icon in manifest("en")["icons"]:
        found = finders.find(icon["src"].removeprefix("/static/"))
        assert found, icon
        if icon["type"] == "image/png":
            head = Path(found).read_bytes()[:24]
            assert head.startswith(b"\x89PNG")
            assert "{}x{}".format(*struct.unpack(">II", head[16:24])) == icon["sizes"]


def test_pages_name_it():
    assert 'rel="manifest" href="/app.webmanifest"' in Client().get("/").content.decode()
