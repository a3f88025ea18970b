"""A stream of bytes under a passphrase: scrypt makes the key, AES-256-GCM seals chunk after chunk.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015, section 7): a chunk's nonce holds its number and
whether it is the last one, so that no chunk can be left out, repeated, moved or cut off unseen.
"""

import io
import os
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from config.backup.errors import BackupDamaged, WrongPassphrase

MAGIC = b"chamsae backup 1\n"
CHUNK = 1024 * 1024
TAG = 16
SALT, PREFIX, COUNTER = 16, 7, 4
COST = 17
"""log2 of scrypt's N, with r = 8: 128 MiB and half a second for each guess."""
DEAREST = 20
"""A file that asks for more is refused: it could be made to fill the memory."""


class SealingWriter(io.RawIOBase):
    """Writes what it is given, sealed; the file ends with `close`."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        super().__init__()
        salt, self._prefix = os.urandom(SALT), os.urandom(PREFIX)
        self._head = MAGIC + bytes([COST]) + salt + self._prefix
        self._file, self._cipher, self._number = file, _cipher(passphrase, salt, COST), 0
        self._waiting = bytearray()
        file.write(self._head)
        self._seal(b"", is_last=False)  # by it a wrong passphrase is told from a damaged file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        content = memoryview(data).cast("B")
        self._waiting += content
        while len(self._waiting) > CHUNK:  # one is kept back, for `close` to mark as the last
            self._seal(bytes(self._waiting[:CHUNK]), is_last=False)
            del self._waiting[:CHUNK]
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._seal(bytes(self._waiting), is_last=True)
            self._waiting.clear()
        super().close()

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, is_last=is_last)
        self._file.write(self._cipher.encrypt(nonce, chunk, self._head))
        self._number += 1


class OpeningReader(io.RawIOBase):
    """Reads what SealingWriter wrote. Each byte that it gives was checked. WrongPassphrase, BackupDamaged."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        super().__init__()
        self._file, self._number, self._is_over = file, 0, False
        self._open = memoryview(b"")
        self._head = file.read(len(MAGIC) + 1 + SALT + PREFIX)
        if not self._head.startswith(MAGIC) or len(self._head) < len(MAGIC) + 1 + SALT + PREFIX:
            raise BackupDamaged("this file is no backup of a site")
        cost, rest = self._head[len(MAGIC)], self._head[len(MAGIC) + 1 :]
        if cost > DEAREST:
            raise BackupDamaged("it asks for more memory than a backup does")
        self._prefix, self._cipher = rest[SALT:], _cipher(passphrase, rest[:SALT], cost)
        self._ahead = file.read(TAG)
        try:
            self._decrypt(self._ahead, is_last=False)
        except InvalidTag:
            raise WrongPassphrase from None
        self._ahead = file.read(CHUNK + TAG)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        while not self._open and not self._is_over:
            self._open = memoryview(self._next())
        taken = min(len(target), len(self._open))
        target[:taken] = self._open[:taken]
        self._open = self._open[taken:]
        return taken

    def _next(self) -> bytes:
        chunk, self._ahead = self._ahead, self._file.read(CHUNK + TAG)
        self._is_over = not self._ahead
        try:
            return self._decrypt(chunk, is_last=self._is_over)
        except InvalidTag:
            raise BackupDamaged(f"its part {self._number} was changed, or its end is missing") from None

    def _decrypt(self, chunk: bytes, *, is_last: bool) -> bytes:
        nonce = _nonce(self._prefix, self._number, is_last=is_last)
        self._number += 1
        return self._cipher.decrypt(nonce, chunk, self._head)


def _cipher(passphrase: str, salt: bytes, cost: int) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**cost, r=8, p=1).derive(passphrase.encode()))


def _nonce(prefix: bytes, number: int, *, is_last: bool) -> bytes:
    return prefix + number.to_bytes(COUNTER, "big") + bytes([is_last])
