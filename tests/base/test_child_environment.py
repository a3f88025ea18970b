"""What child processes that compute are told of the site."""

import asyncio
import os
import re

from django.conf import settings

from base.child_environment import SECRETS, child_environment
from chat.engines import child

SECRETIVE = re.compile("SECRET|KEY|URL|TOKEN(?!S)|PASSWORD")


def test_the_secrets_stay_and_the_rest_is_passed_on(monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "of the site")
    monkeypatch.setenv("CHAMSAE_SITE", "its marker")
    found = child_environment({"OMP_NUM_THREADS": "3"})
    assert "of the site" not in found.values()
    assert (found["CHAMSAE_SITE"], found["OMP_NUM_THREADS"], found["PATH"]) == ("its marker", "3", os.environ["PATH"])


def test_every_setting_that_reads_like_a_secret_is_one_or_known_not_to_be():
    files = [settings.BASE_DIR / "config" / name for name in ("settings.py", "secret.py")]
    source = "".join(file.read_text() for file in files)
    named = {word.split('"')[0] for word in source.split('("')[1:] if word.split('"')[0].isupper()}
    suspects = {name for name in named if SECRETIVE.search(name)}
    assert suspects - set(SECRETS) <= {"CHAMSAE_ENGINE_URL", "CHAMSAE_ROLLOUT_URL"}  # addresses without a login


async def test_a_child_of_an_engine_reads_no_secret(monkeypatch, tmp_path):
    (tmp_path / "tells.py").write_text("import os; print(os.environ.get('CHAMSAE_SECRET_KEY'), os.environ['FED'])")
    monkeypatch.setenv("CHAMSAE_SECRET_KEY", "of the site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    process = await child.start_child("tells", FED="yes")
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert said.decode().split() == ["None", "yes"]
