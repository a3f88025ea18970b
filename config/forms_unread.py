"""Twisted reads every form into memory before a page sees a byte of it, and hangs up on one that it cannot read.

Daphne has no use for that: Django reads forms by itself, as a stream to the disk, and answers what is wrong with one.
"""

from typing import Any

from daphne.http_protocol import WebRequest  # type: ignore[import-untyped]


def leave_forms_unread() -> None:
    """Twisted takes it as an argument, which Daphne's factory cannot hand on."""
    begin = WebRequest.__init__

    def begin_without_forms(request: WebRequest, *given: Any, **options: Any) -> None:
        begin(request, *given, **options)
        request._parsePOSTFormSubmission = False

    WebRequest.__init__ = begin_without_forms
