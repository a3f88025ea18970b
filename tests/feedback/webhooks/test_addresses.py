"""Addresses that a webhook may have, and those by which the site would talk to its own network."""

import socket

import pytest

from feedback.webhooks import addresses


@pytest.fixture
def names(monkeypatch):
    """Name -> its addresses, in place of a name server."""
    known = {}

    def resolve(host, port, **_):
        if host not in known:
            known[host] = [host]
        if known[host] is None:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


def test_the_machine_that_was_checked_is_the_one_that_is_asked(names):
    names["hooks.example.org"] = ["93.184.215.14"]
    target = addresses.check("https://hooks.example.org:8443/a?b=c")
    assert target.url == "https://93.184.215.14:8443/a?b=c"
    assert target.authority == "hooks.example.org:8443"
    assert addresses.check("https://[2606:2800:21f::1]/").authority == "[2606:2800:21f::1]"


PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"),  # noqa: S104
    *("224.0.0.1", "::1", "fc00::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "::"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_of_a_private_network(names, settings, address):
    names["inside.example.org"] = ["93.184.215.14", address]
    with pytest.raises(addresses.PrivateAddress):
        addresses.check("https://inside.example.org/")
    settings.FEEDBACK_WEBHOOK_PRIVATE = True
    addresses.check("http://inside.example.org/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org/", "https://", "https://a:b@example.org/", "https://example.org:x/"),
        *("https://example.org/#a", "https://exa mple.org/", "https://example.org/\r\nX: y", "https://[::1/"),
        *(
            "file:///etc/passwd",
            "https://example.org:99999/",
            "https://" + "a" * 600 + ".org/",
            "https://" + "a" * 64,
        ),
    ],
)
def test_what_is_no_address_is_refused(names, url):
    with pytest.raises(addresses.BadHookAddress) as refused:
        addresses.check(url)
    assert str(refused.value)


def test_without_encryption_nothing_is_sent(names):
    with pytest.raises(addresses.NotEncrypted):
        addresses.check("http://93.184.215.14/")


def test_a_name_that_nobody_knows(names):
    names["nowhere.example"] = None
    with pytest.raises(addresses.UnknownHost):
        addresses.check("https://nowhere.example/")
