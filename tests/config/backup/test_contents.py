"""What is packed comes back under its names with its bytes, and an archive that lies is refused before it is used."""

import io
import json
import tarfile

import pytest

from config.backup import contents
from config.backup.errors import BackupDamaged


def silent(count):
    """Nobody watches."""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "state"
    (made / "models" / "one").mkdir(parents=True)
    (made / "models" / "one" / "weights").write_bytes(bytes(range(256)) * 40)
    (made / "empty").write_bytes(b"")
    return made


def packed(folder):
    file = io.BytesIO()
    contents.pack(folder, file, {"made_at": "now"}, silent)
    return file.getvalue()


def tar_of(*entries):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def test_it_comes_back_byte_for_byte(folder, tmp_path):
    target = tmp_path / "restored"
    target.mkdir()
    found = contents.unpack(io.BytesIO(packed(folder)), target, silent)
    assert found["made_at"] == "now"
    assert set(found["files"]) == {"models/one/weights", "empty"}
    assert (target / "models/one/weights").read_bytes() == bytes(range(256)) * 40
    assert (target / "empty").read_bytes() == b""


def test_a_file_that_is_not_on_the_list_is_refused(folder):
    listed = json.dumps({"files": {}}).encode()
    with pytest.raises(BackupDamaged, match="not those of its list"):
        contents.unpack(io.BytesIO(tar_of(("more", b"x"), (contents.LIST, listed))), None, silent)


def test_an_archive_without_a_list_is_refused():
    with pytest.raises(BackupDamaged):
        contents.unpack(io.BytesIO(tar_of(("more", b"x"))), None, silent)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "models/../../outside"])
def test_no_file_leads_out_of_the_folder(name, tmp_path):
    target = tmp_path / "restored"
    target.mkdir()
    with pytest.raises(BackupDamaged, match="leads out"):
        contents.unpack(io.BytesIO(tar_of((name, b"x"))), target, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["restored"]


def test_links_keep_what_the_site_removes_meanwhile(settings, tmp_path):
    settings.MODELS_DIR, settings.RUNS_DIR, settings.UPLOADS_DIR = (tmp_path / name for name in ("m", "r", "u"))
    (tmp_path / "m" / "one").mkdir(parents=True)
    (tmp_path / "m" / "tmp-draft").mkdir()
    (tmp_path / "m" / "one" / "weights").write_bytes(b"weights")
    (tmp_path / "m" / "tmp-draft" / "half").write_bytes(b"half")
    staging = tmp_path / "staging"
    contents.link_state(staging)
    (tmp_path / "m" / "one" / "weights").unlink()
    (tmp_path / "m" / "two").write_bytes(b"new")
    contents.link_state(staging)
    files = {path.name: path.read_bytes() for path in staging.rglob("*") if path.is_file()}
    assert files == {"weights": b"weights", "two": b"new"}
