"""What can be wrong with a model server, by codes: the talker stores them, and admins read them in their language."""

from dataclasses import dataclass

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from chat.errors import EngineRefused

TEXTS: dict[str, str | Promise] = {
    "silent": _("it does not respond"),
    "unwell": _("it responds that it is not healthy (HTTP %(detail)s)"),
    "streams_failed": _("its streams failed several times in a row"),
    "unseen": _("it has not been looked at yet"),
    "no_base": _("it does not have %(detail)s, whose weights this policy changes"),
    "no_adapter": _("it sees no adapter at %(detail)s (CHAMSAE_ENGINE_ADAPTERS)"),
    "no_loading": _("it takes no adapters while it runs (VLLM_ALLOW_RUNTIME_LORA_UPDATING, --enable-lora)"),
    "other": "%(detail)s",
}
"""`detail` is a name, a path or a number; of `other`, what the server or the network said, in whatever words."""


@dataclass(frozen=True)
class Trouble:
    code: str
    detail: str = ""

    @property
    def text(self) -> str:
        return str(TEXTS[self.code]) % {"detail": self.detail}

    @property
    def stored(self) -> str:
        return f"{self.code}: {self.detail}"

    @classmethod
    def read(cls, stored: str) -> "Trouble":
        """Of what `stored` gave; anything else is told as it is."""
        code, _colon, detail = stored.partition(": ")
        return cls(code, detail) if code in TEXTS else cls("other", stored)

    def __str__(self) -> str:
        """For logs."""
        with translation.override("en"):
            return self.text


class AdapterRefused(EngineRefused):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble
