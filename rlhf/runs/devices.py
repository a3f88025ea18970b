"""Which accelerators this machine shows, as far as its system tells without torch."""

import os
import sys
from importlib import metadata
from pathlib import Path

DEV = Path("/dev")
SHOWN: dict[str, tuple[str, ...]] = {"cuda": ("nvidiactl", "kfd", "dxg"), "xpu": ("dri",)}
"""By what torch calls a device: the files that its drivers make (NVIDIA's, AMD's, Windows' own; Intel's)."""
NO_CARDS = ("", "-1")
"""As CUDA_VISIBLE_DEVICES."""


def is_on_cpu(device: str) -> bool:
    """Whether training takes this machine's memory; an accelerator has its own, which only torch can tell."""
    return device == "cpu" or (device == "auto" and not _has_usable_card())


def _has_usable_card() -> bool:
    """Whether torch would find a card of NVIDIA's. The files of other drivers are there without any card, too."""
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in NO_CARDS
    return (DEV / "nvidiactl").exists() and not is_hidden and not _is_torch_for_cpus()


def _is_torch_for_cpus() -> bool:
    """By the version that is installed, without importing it; True where there is none."""
    try:
        return metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return True


def is_shown(device: str) -> bool:
    """Whether the system shows a device, which torch may spell with a number; True of kinds that it cannot tell."""
    kind = device.partition(":")[0]
    if kind == "mps":
        return sys.platform == "darwin"
    return kind not in SHOWN or any((DEV / name).exists() for name in SHOWN[kind])


def cards() -> int:
    """Of NVIDIA; of others one where there is any."""
    numbered = [path for path in DEV.glob("nvidia*") if path.name.removeprefix("nvidia").isdecimal()]
    return len(numbered) or int(is_shown("cuda"))
