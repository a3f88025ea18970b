"""The encrypted stream: it comes back whole, and no byte of it can be changed, left out or cut off unseen."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.backup import encryption
from config.backup.encryption import CHUNK, MAGIC, PREFIX, SALT, TAG, OpeningReader, SealingWriter
from config.backup.errors import BackupDamaged, WrongPassphrase

PASSPHRASE = "correct horse battery staple"
HEAD = len(MAGIC) + 1 + SALT + PREFIX
FIRST = HEAD + TAG


@pytest.fixture(autouse=True)
def _cheap_key(monkeypatch):
    monkeypatch.setattr(encryption, "COST", 4)
    monkeypatch.setattr(encryption, "CHUNK", 64)


def sealed(content, *, at_a_time=1000):
    file = io.BytesIO()
    with SealingWriter(file, PASSPHRASE) as writer:
        for start in range(0, len(content), at_a_time):
            writer.write(content[start : start + at_a_time])
    return file.getvalue()


def opened(stored, passphrase=PASSPHRASE):
    with OpeningReader(io.BytesIO(stored), passphrase) as reader:
        return reader.read()


@given(st.binary(max_size=400), st.integers(1, 150))
def test_what_was_written_is_read(content, at_a_time):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encryption, "COST", 4)
        patch.setattr(encryption, "CHUNK", 64)
        assert opened(sealed(content, at_a_time=at_a_time)) == content


def test_the_key_and_the_seal_are_those_of_other_programs():
    """By OpenSSL's scrypt in the standard library, and by AES-GCM over the whole first part."""
    import hashlib

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    stored = sealed(b"x" * 64)
    cost, salt, prefix = stored[len(MAGIC)], stored[len(MAGIC) + 1 : HEAD - PREFIX], stored[HEAD - PREFIX : HEAD]
    key = hashlib.scrypt(PASSPHRASE.encode(), salt=salt, n=2**cost, r=8, p=1, dklen=32)
    nonce = prefix + bytes([0, 0, 0, 1]) + b"\1"
    assert AESGCM(key).decrypt(nonce, stored[FIRST:], stored[:HEAD]) == b"x" * 64


def test_nothing_of_the_content_is_to_be_seen():
    assert b"secret" not in sealed(b"secret " * 100)
    assert sealed(b"the same") != sealed(b"the same")


def test_a_wrong_passphrase_says_so():
    with pytest.raises(WrongPassphrase):
        opened(sealed(b"content"), "another one")


@pytest.mark.parametrize("place", [*range(0, HEAD, 5), FIRST, FIRST + 70, -1])
def test_a_changed_byte_is_found(place):
    stored = bytearray(sealed(bytes(200)))
    stored[place] ^= 1
    with pytest.raises((BackupDamaged, WrongPassphrase)):
        opened(bytes(stored))


def test_a_file_that_ends_early_is_found_wherever_it_does():
    stored = sealed(bytes(range(200)))
    for length in range(len(stored)):
        with pytest.raises((BackupDamaged, WrongPassphrase)):
            opened(stored[:length])


def test_parts_that_were_exchanged_or_repeated_are_found():
    stored, part = sealed(bytes(300)), 64 + TAG
    head, first, second, rest = (
        stored[:FIRST],
        stored[FIRST : FIRST + part],
        stored[FIRST + part : FIRST + 2 * part],
        b"",
    )
    rest = stored[FIRST + 2 * part :]
    for parts in (second + first + rest, first + first + second + rest, second + rest, stored[FIRST:] + rest[-20:]):
        with pytest.raises(BackupDamaged):
            opened(head + parts)


def test_a_file_that_asks_for_all_memory_is_refused():
    stored = bytearray(sealed(b"x"))
    stored[len(MAGIC)] = 40
    with pytest.raises(BackupDamaged, match="memory"):
        opened(bytes(stored))


def test_a_real_chunk_is_a_mebibyte():
    assert CHUNK == 2**20
