"""What child processes that compute are told of the site: what is on a list, and nothing else."""

import asyncio
import os
import re
import sys

import pytest
from django.conf import settings

from base.child_environment import HUB_TOKENS, OF_DOWNLOADS, RAY_TOKEN, child_environment, is_allowed
from chat.engines import child
from config import confinement
from config.doctor import confinements

SECRETIVE = re.compile("SECRET|KEY|(?<!C)URL|TOKEN(?!IZERS)|PASS|CREDENTIAL|AUTH|PROXY|DSN")
OF_OTHERS = (
    *("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE", "CHAMSAE_HOME"),
    *("AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "GOOGLE_APPLICATION_CREDENTIALS", "OPENAI_API_KEY"),
    *("GITHUB_TOKEN", "PGPASSWORD", "SSH_AUTH_SOCK", "KUBECONFIG", "SENTRY_DSN", "SOMETHING_OF_NEXT_YEAR"),
    *(*HUB_TOKENS, RAY_TOKEN, *OF_DOWNLOADS),
)


def of_the_site():
    """Every variable that the site itself reads."""
    files = [settings.BASE_DIR / "config" / name for name in ("settings.py", "secret.py")]
    source = "".join(file.read_text() for file in files)
    return {name for name in re.findall(r'"([A-Z0-9_]+)"', source) if name.startswith("CHAMSAE_")}


def test_no_secret_reaches_a_child_nor_what_nobody_thought_of(monkeypatch):
    for name in (*OF_OTHERS, *of_the_site()):
        monkeypatch.setenv(name, "of the site")
    monkeypatch.setenv("CHAMSAE_SITE", "its marker")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = child_environment({"OMP_NUM_THREADS": "3"})
    assert "of the site" not in found.values()
    assert (found["CHAMSAE_SITE"], found["OMP_NUM_THREADS"], found["PATH"]) == ("its marker", "3", os.environ["PATH"])
    assert found["CUDA_VISIBLE_DEVICES"] == "1"


def test_no_setting_of_the_site_is_on_the_list():
    assert {"CHAMSAE_SECRET_KEY", "CHAMSAE_AUDIT_KEY", "CHAMSAE_BACKUP_PASSPHRASE"} <= of_the_site()
    assert [name for name in of_the_site() if is_allowed(name)] == []


def test_nothing_on_the_list_reads_like_a_secret():
    from base.child_environment import ALLOWED, ALLOWED_BEGINNINGS

    assert [name for name in (*ALLOWED, *ALLOWED_BEGINNINGS) if SECRETIVE.search(name)] == []


def test_a_child_loads_no_native_code_from_the_hub(monkeypatch):
    monkeypatch.setenv("USE_HUB_KERNELS", "YES")
    assert child_environment({})["USE_HUB_KERNELS"] == "NO"


def test_what_a_child_needs_it_gets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "opens models")
    assert "HF_TOKEN" not in child_environment({})
    assert child_environment({}, needed=HUB_TOKENS)["HF_TOKEN"] == "opens models"


@pytest.mark.parametrize("name", ["CHAMSAE_SECRET_KEY", "CHAMSAE_HOME", "OPENAI_API_KEY"])
async def test_a_child_of_an_engine_reads_no_secret(monkeypatch, tmp_path, name):
    (tmp_path / "tells.py").write_text(f"import os; print(os.environ.get({name!r}), os.environ['FED'])")
    monkeypatch.setenv(name, "of the site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = await child.start_child("tells", FED="yes")
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert said.decode().split() == ["None", "yes"]


@pytest.mark.parametrize(
    ("version", "has_it", "level", "said"),
    [(5, False, "note", "Landlock 5"), (0, True, "note", "bubblewrap"), (0, False, "note", "neither")],
)
def test_the_doctor_says_what_could_confine_children(monkeypatch, version, has_it, level, said):
    monkeypatch.setattr(confinement, "landlock_version", lambda: version)
    monkeypatch.setattr(confinement, "has_bubblewrap", lambda: has_it)
    (found,) = confinements()
    assert (found.level, said in found.says) == (level, True)


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_the_kernel_is_asked_and_answers():
    listed = "/sys/kernel/security/lsm"
    if os.path.exists(listed):
        with open(listed) as file:
            assert (confinement.landlock_version() > 0) == ("landlock" in file.read())
    else:
        assert confinement.landlock_version() >= 0
