"""Profiles of training: what the code's own defaults are, what settings win over, and what fits the machine."""

import json
import os
import subprocess
import sys

import pytest

from config import training_profiles
from config.training_profiles import CPU, GPU, MULTI_GPU, Profile
from rlhf.runs import devices
from rlhf.runs.memory import Work, estimate
from rlhf.training.model.choice import Placement
from rlhf.training.ppo.config import PpoConfig
from tests.docs.pages import read
from tests.rlhf.model_sizes import SEVEN_BILLION
from tests.site import ROOT

ROWS = (*training_profiles.PLACEMENT, *training_profiles.PPO)
CARD_MB = 80_000


def test_the_profile_of_a_cpu_is_what_the_training_does_by_itself():
    profile = Profile(CPU)
    ppo, placement = PpoConfig(), Placement()
    assert profile.ppo == {name: getattr(ppo, name) for name in profile.ppo}
    assert profile.placement == {name: getattr(placement, name) for name in profile.placement}


@pytest.mark.parametrize("name", [CPU, GPU, MULTI_GPU])
def test_each_profile_can_be_trained_by(name):
    profile = Profile(name)
    Placement.read(profile.placement)
    PpoConfig.read(profile.ppo)


@pytest.mark.parametrize("name", [GPU, MULTI_GPU])
def test_a_model_of_seven_billion_fits_a_card_and_would_not_without_recomputing(name):
    profile = Profile(name)
    placement = {**profile.placement, "backend": "transformers"}
    assert estimate(SEVEN_BILLION, Work.of(profile.ppo, placement, 96)).mb < CARD_MB
    kept = {**placement, "checkpointing": False}
    assert estimate(SEVEN_BILLION, Work.of(profile.ppo, kept, 96)).mb > CARD_MB


@pytest.mark.parametrize(
    ("files", "device", "torch", "visible", "chosen"),
    [
        ((), "auto", "2.13.0", None, CPU),
        ((), "cpu", "2.13.0", None, CPU),
        (("nvidiactl",), "auto", "2.13.0", None, GPU),
        (("nvidiactl",), "auto", "2.13.0+cu130", "0,1", GPU),
        (("nvidiactl",), "cpu", "2.13.0", None, CPU),
        (("nvidiactl",), "auto", "2.13.0+cpu", None, CPU),
        (("nvidiactl",), "auto", "2.13.0", "", CPU),
        (("nvidiactl",), "auto", "2.13.0", "-1", CPU),
        (("kfd", "dxg", "dri"), "auto", "2.13.0", None, CPU),
    ],
)
def test_auto_takes_a_card_s_only_where_torch_can_use_one(
    monkeypatch, tmp_path, files, device, torch, visible, chosen
):
    monkeypatch.setattr(devices, "DEV", tmp_path)
    monkeypatch.setattr("importlib.metadata.version", lambda name: torch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for name in files:
        (tmp_path / name).touch()
    assert training_profiles.choose("auto", device) == Profile(chosen)
    assert training_profiles.choose("multi-gpu", device) == Profile(MULTI_GPU)


def test_no_profile_forces_a_backend():
    assert {Profile(name).placement["backend"] for name in (CPU, GPU, MULTI_GPU)} == {"auto"}


def settings_under(**variables):
    told = "[settings.RLHF_PROFILE.name, settings.RLHF_PLACEMENT]"
    code = f"import json; from django.conf import settings; print(json.dumps({told}))"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "CHAMSAE_DEBUG": "1", **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def test_an_explicit_setting_wins_over_the_profile():
    assert settings_under(CHAMSAE_TRAINING_PROFILE="gpu") == [
        "gpu",
        {"backend": "auto", "device": "cpu", "dtype": "bf16", "bits": 16, "checkpointing": True},
    ]
    own = {
        "CHAMSAE_TRAINING_BACKEND": "llama",
        "CHAMSAE_TRAINING_CHECKPOINTING": "0",
        "CHAMSAE_TRAINING_DTYPE": "fp32",
    }
    assert settings_under(CHAMSAE_TRAINING_PROFILE="gpu", **own)[1] == {
        "backend": "llama", "device": "cpu", "dtype": "fp32", "bits": 16, "checkpointing": False
    }  # fmt: skip


@pytest.mark.parametrize("page", ["docs/growing.md", "docs/growing.ko.md"])
def test_the_page_shows_every_value(page):
    shown = read(page)
    for row in ROWS:
        values = " | ".join(
            f"`{int(one) if isinstance(one, bool) else one}`" for one in (row.cpu, row.gpu, row.multi_gpu)
        )
        assert f"| `{row.name}` | {values} |" in shown, row.name
