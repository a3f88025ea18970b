"""Daphne says why it closes a websocket: a close frame with 1009 or 1007, where it would only drop the line."""

from typing import Any

from daphne.ws_protocol import WebSocketFactory  # type: ignore[import-untyped]


def say_why() -> None:
    """Daphne sets its protocol options without this one and has no setting for it, so it is put in on the way."""
    set_options = WebSocketFactory.setProtocolOptions

    def set_options_and_close_properly(factory: WebSocketFactory, **options: Any) -> None:
        set_options(factory, failByDrop=False, **options)

    WebSocketFactory.setProtocolOptions = set_options_and_close_properly
