"""The lecture's tables of sizes, computed: parameters, bytes, operations, years, dollars; where the lecture errs."""

import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from metering.models import Price
from rlhf.training.lecture.presets import PRESETS, Preset

NEAR = 0.05
"""So far apart a rounded figure and the computed one may be."""
DAY_S = 86_400
SIDE = 512
"""Of the matrices whose product tells how fast this machine computes."""


@dataclass(frozen=True)
class LectureClaim:
    """What the lecture says of one thing, and what comes out when it is computed."""

    said: str
    found: str
    is_right: bool
    why: str | Promise = ""


@dataclass(frozen=True)
class SizeRow:
    """A model of the lecture's table. Training takes 6 operations a parameter and token (Kaplan et al. 2020)."""

    name: str
    preset: Preset
    parameters: LectureClaim
    heads: LectureClaim | None
    tokens: float
    """That it was trained on, by the lecture's or its paper's figures."""

    @property
    def gigabytes(self) -> float:
        """In 16 bits a weight."""
        return 2 * self.preset.parameters / 1e9

    @property
    def operations(self) -> float:
        return 6.0 * self.preset.parameters * self.tokens

    @property
    def years_here(self) -> float:
        return self.operations / operations_a_second() / DAY_S / 365.25

    @property
    def dollars(self) -> float | None:
        """At the site's price of training Davinci; None where an admin removed it."""
        price = Price.objects.filter(model="davinci").values_list("training", flat=True).first()
        return None if price is None else self.tokens / 1000 * price / 1e6


@dataclass(frozen=True)
class WidthRow:
    """A line of the lecture's list of word vectors."""

    name: str
    preset: Preset
    parameters: LectureClaim


@dataclass(frozen=True)
class SourceRow:
    """A part of GPT-3's training text."""

    name: str
    billions: int
    percent: int

    def epochs(self, total_billions: float) -> float:
        """How often each of its tokens is read, where so many are read in all."""
        return self.percent / 100 * total_billions / self.billions


GPT3_BILLIONS = 300
"""Tokens that GPT-3 read (Brown et al. 2020, table D.1)."""
SOURCES = (
    SourceRow("Common Crawl", 410, 60),
    SourceRow("WebText2", 19, 22),
    SourceRow("Books1", 12, 8),
    SourceRow("Books2", 55, 8),
    SourceRow("Wikipedia", 3, 3),
)


def models() -> list[SizeRow]:
    four_a_token = 4  # characters, as English has about
    return [
        SizeRow("GPT-1", PRESETS["gpt1"], _near("117M", 117e6, "gpt1"), _heads(12, "gpt1"), 5e9 / four_a_token),
        SizeRow("GPT-2", PRESETS["gpt2"], _near("1.5B", 1.5e9, "gpt2"), _heads(48, "gpt2"), 40e9 / four_a_token),
        SizeRow("GPT-3", PRESETS["gpt3"], _near("175B", 175e9, "gpt3"), _heads(96, "gpt3"), GPT3_BILLIONS * 1e9),
    ]


def widths() -> list[WidthRow]:
    wrong = _("4,096 belongs to the model of 6.7B with 32 layers; that of 13B has 40 heads of 128, which is 5,120.")
    return [
        WidthRow("BERT-base", PRESETS["bert-base"], _near("768", 110e6, "bert-base")),
        WidthRow("GPT-3 125M", PRESETS["gpt3-125m"], _near("125M: 768", 125e6, "gpt3-125m")),
        WidthRow("GPT-3 350M", PRESETS["gpt3-350m"], _near("350M: 1024", 350e6, "gpt3-350m")),
        WidthRow("GPT-3 1.3B", PRESETS["gpt3-1.3b"], _near("1.3B: 2048", 1.3e9, "gpt3-1.3b")),
        WidthRow("GPT-3 13B", PRESETS["40 layers of 4096"], _near("13B: 4096", 13e9, "40 layers of 4096", wrong)),
    ]


def weights_sum() -> LectureClaim:
    total = sum(source.percent for source in SOURCES)
    return LectureClaim(
        "100 %", f"{total} %", total == 100, _("The weights of the parts add up to more than the whole.")
    )


def _near(said: str, about: float, name: str, why: str | Promise = "") -> LectureClaim:
    parameters = PRESETS[name].parameters
    return LectureClaim(said, f"{parameters:,}", abs(parameters - about) <= NEAR * about, why)


def _heads(said: int, name: str) -> LectureClaim:
    preset = PRESETS[name]
    why = _("A dimension of 1,600 can't be divided among 48 heads; GPT-2 has 25 of 64 each.")
    return LectureClaim(str(said), str(preset.heads), preset.dimension % said == 0, why)


@lru_cache(maxsize=1)
def operations_a_second() -> float:
    """Of this machine on the threads that numpy uses: a product of two matrices, the best of five."""
    matrix = np.ones((SIDE, SIDE), dtype=np.float32)
    return 2 * SIDE**3 / min(_seconds_of_product(matrix) for _round in range(5))


def _seconds_of_product(matrix: np.ndarray) -> float:
    began = time.perf_counter()
    matrix @ matrix
    return time.perf_counter() - began
