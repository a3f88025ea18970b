"""How the curves of a page are drawn, as its query says: smoothing, scale, and the links that change them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SMOOTHINGS: dict[str, tuple[float, Promise]] = {
    "": (0.0, _("none")),
    "0.6": (0.6, _("weak")),
    "0.9": (0.9, _("strong")),
}
"""Weight of what came before, in an exponential moving average, by its value in the query."""
SCALES: dict[str, Promise] = {"": _("linear"), "log": _("logarithmic")}


@dataclass(frozen=True)
class Link:
    label: Promise
    query: str
    is_current: bool


@dataclass(frozen=True)
class CurveOptions:
    """The spellings of the query; what is not among them is as if it were not there."""

    smoothing_name: str = ""
    scale: str = ""
    kept: tuple[tuple[str, str], ...] = ()
    """Other parameters of the page, which its links keep."""

    @classmethod
    def read(cls, query: Mapping[str, str], *keep: str) -> "CurveOptions":
        smoothing, scale = query.get("smooth", ""), query.get("scale", "")
        return cls(
            smoothing if smoothing in SMOOTHINGS else "",
            scale if scale in SCALES else "",
            tuple((name, query[name]) for name in keep if name in query),
        )

    @property
    def smoothing(self) -> float:
        return SMOOTHINGS[self.smoothing_name][0]

    @property
    def is_log(self) -> bool:
        return self.scale == "log"

    @property
    def query(self) -> str:
        """Nothing where everything is as it is by default."""
        named = (*self.kept, ("smooth", self.smoothing_name), ("scale", self.scale))
        given = [(name, value) for name, value in named if value]
        return f"?{urlencode(given)}" if given else ""

    @property
    def smoothing_links(self) -> list[Link]:
        return [
            Link(label, replace(self, smoothing_name=name).query or "?", name == self.smoothing_name)
            for name, (_weight, label) in SMOOTHINGS.items()
        ]

    @property
    def scale_links(self) -> list[Link]:
        return [
            Link(label, replace(self, scale=name).query or "?", name == self.scale) for name, label in SCALES.items()
        ]
