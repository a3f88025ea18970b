"""HTML of texts that were rendered lately, by their content: a page that many open costs one rendering."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from django.utils.translation import get_language

MOST_BYTES = 32 * 2**20
"""Of one process."""
KEPT_S = 600.0
"""No longer: somebody may delete the text."""


class KeptHtml:
    """Of one way to render; safe for threads. A text is known by its hash, the language and the way."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._made: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str, way: str, make: Callable[[], str]) -> str:
        """Kept, or made by `make` and kept."""
        now = time.monotonic()
        key = hashlib.sha256(f"{get_language()}\0{way}\0{text}".encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            self._remove_old(now)
            if key in self._made:
                return self._made[key][1]
        html = make()
        with self._lock:
            self._keep(key, now, html)
        return html

    def _keep(self, key: bytes, now: float, html: str) -> None:
        if key not in self._made:
            self._made[key] = now, html
            self._bytes += len(html)

    def _remove_old(self, now: float) -> None:
        """Those whose time is over, and as many as stand above the limit: the oldest are the first."""
        while self._made:
            key, (made_at, html) = next(iter(self._made.items()))
            if now - made_at < KEPT_S and self._bytes <= self._most_bytes:
                return
            del self._made[key]
            self._bytes -= len(html)
