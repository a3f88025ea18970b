"""`python -m config.daphne_server`: Daphne's command line, after two repairs for which it has no option."""

from typing import Any

from daphne.cli import CommandLineInterface  # type: ignore[import-untyped]
from daphne.http_protocol import WebRequest  # type: ignore[import-untyped]
from daphne.ws_protocol import WebSocketFactory  # type: ignore[import-untyped]


def _close_with_a_reason() -> None:
    """A close frame with 1009 or 1007 where a frame is too long or no text, instead of a line that drops."""
    set_options = WebSocketFactory.setProtocolOptions

    def set_options_and_close_properly(factory: WebSocketFactory, **options: Any) -> None:
        set_options(factory, failByDrop=False, **options)

    WebSocketFactory.setProtocolOptions = set_options_and_close_properly


def _leave_forms_unread() -> None:
    """Twisted reads every form into memory before a page sees a byte of it, and hangs up on one that it cannot read.
    Django reads forms by itself, as a stream to the disk, and answers what is wrong with one."""
    begin = WebRequest.__init__

    def begin_without_forms(request: WebRequest, *given: Any, **options: Any) -> None:
        begin(request, *given, **options)
        request._parsePOSTFormSubmission = False

    WebRequest.__init__ = begin_without_forms


if __name__ == "__main__":
    _close_with_a_reason()
    _leave_forms_unread()
    CommandLineInterface.entrypoint()
