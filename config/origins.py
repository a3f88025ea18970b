"""Which origins may open a websocket: those of the settings, and none that is not even an address."""

from typing import Any

from channels.security.websocket import OriginValidator


class StrictOrigins(OriginValidator):
    """Channels' own check, for which `http://site:80.elsewhere` is an error of the server, since that is no port."""

    def valid_origin(self, parsed_origin: Any) -> bool:
        try:
            return bool(super().valid_origin(parsed_origin))
        except ValueError:
            return False
