"""What a cycle lacks is told before its first stage, all of it, each thing with what would do."""

import json
import sys
from types import SimpleNamespace

import pytest
from django.utils.translation import override

from chat import policies
from rlhf import labels
from rlhf.errors import (
    DeviceMissing,
    LauncherBroken,
    NotEnoughSpace,
    OtherArchitecture,
    QuantisationMissing,
    RolloutsByRay,
    RolloutsOfFewBits,
    RolloutsShared,
    SeveralMissing,
    WholeWeightsNeeded,
)
from rlhf.models import Run
from rlhf.runs import cycle, devices, launchers, preflight, requirements
from rlhf.runs.launchers import LaunchPlan
from rlhf.runs.requirements import Wish
from rlhf.training.policy import publishing


@pytest.fixture
def place(settings, base_policy):
    """Sets how and where models are computed."""

    def change(**placement):
        settings.RLHF_PLACEMENT = {**settings.RLHF_PLACEMENT, **placement}

    change(device="cpu")
    return change


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """Without any device."""
    monkeypatch.setattr(devices, "DEV", tmp_path)
    return tmp_path


def configure(policy, **config):
    (policies.directory(policy) / "config.json").write_text(json.dumps({"model_type": "llama", **config}))


@pytest.mark.parametrize(("field", "value"), [("model_type", "qwen3"), ("mlp_bias", True)])
def test_what_the_forced_backend_does_not_compute_is_refused(place, base_policy, field, value):
    configure(base_policy, **{field: value})
    requirements.refuse(Wish(base_policy))
    place(backend="llama")
    with pytest.raises(OtherArchitecture, match="CHAMSAE_TRAINING_BACKEND") as caught:
        cycle.start()
    assert (caught.value.policy, caught.value.field, caught.value.value) == ("base", field, value)


def test_a_device_that_the_machine_does_not_show_is_refused(place, base_policy, bare_machine):
    place(device="cuda:1")
    with pytest.raises(DeviceMissing, match="CHAMSAE_TRAINING_DEVICE is cuda:1"):
        requirements.refuse(Wish(base_policy))
    (bare_machine / "nvidiactl").touch()
    requirements.refuse(Wish(base_policy))


@pytest.fixture
def accelerate(settings, tmp_path, monkeypatch):
    """Sets a file of accelerate's, by what its reader says of it."""
    path = tmp_path / "accelerate.yaml"
    monkeypatch.setattr(launchers, "accelerate_reader", lambda: [sys.executable, "-c", path.read_text()])
    launchers._read.cache_clear()

    def say(words, code=0):
        settings.RLHF_LAUNCHER, settings.RLHF_ACCELERATE_CONFIG = "accelerate", str(path)
        path.write_text(f"print({words!r}); exit({code})")
        launchers._read.cache_clear()

    yield say
    launchers._read.cache_clear()


def test_several_processes_do_not_train_on_what_servers_sample(place, base_policy, settings, accelerate):
    settings.RLHF_ROLLOUT_URLS = ["http://127.0.0.1:9/v1"]
    requirements.refuse(Wish(base_policy))
    accelerate('{"processes": 1, "shards_base": false}')
    requirements.refuse(Wish(base_policy))
    accelerate('{"processes": 2, "shards_base": false}')
    with pytest.raises(RolloutsShared, match="CHAMSAE_ROLLOUT_URL"):
        requirements.refuse(Wish(base_policy))
    for way in ("rloo", "grpo", "dpo"):  # which are one process whatever the file says, or sample nothing
        requirements.refuse(Wish(base_policy, way))


@pytest.mark.parametrize("way", labels.BY_SERVERS)
def test_a_cluster_does_not_train_on_what_servers_sample(place, base_policy, settings, way):
    settings.RLHF_ROLLOUT_URLS, settings.RLHF_LAUNCHER = ["http://127.0.0.1:9/v1"], "ray"
    with pytest.raises(RolloutsByRay, match="Ray cluster"):
        requirements.refuse(Wish(base_policy, way))
    requirements.refuse(Wish(base_policy, "dpo"))


def test_a_file_of_accelerate_that_is_missing_or_broken_is_refused(place, base_policy, settings, accelerate):
    accelerate("num_machines is 2", code=1)
    with pytest.raises(LauncherBroken, match=r"CHAMSAE_ACCELERATE_CONFIG .* num_machines is 2"):
        requirements.refuse(Wish(base_policy))
    settings.RLHF_ACCELERATE_CONFIG = "no/such/file.yaml"
    with pytest.raises(LauncherBroken, match="no/such/file"):
        requirements.refuse(Wish(base_policy))
    settings.RLHF_ACCELERATE_CONFIG = ""
    with pytest.raises(LauncherBroken, match="needs a file"):
        cycle.start()


def test_the_file_is_read_once_in_the_site_s_folder_and_without_its_secrets(settings, accelerate, monkeypatch):
    monkeypatch.setenv("CHAMSAE_SECRET_KEY", "secret")
    accelerate("no")
    asked = []

    def run(command, **options):
        asked.append(options)
        return SimpleNamespace(returncode=0, stdout='{"processes": 3, "shards_base": true}', stderr="")

    monkeypatch.setattr(launchers.subprocess, "run", run)
    assert [launchers.launch(), launchers.launch()] == [LaunchPlan(3, True)] * 2
    (options,) = asked
    assert options["cwd"] == settings.BASE_DIR
    assert options["timeout"]
    assert "CHAMSAE_SECRET_KEY" not in options["env"]


def test_over_few_bits_nobody_trains_on_what_servers_sample(place, base_policy, settings, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: object())
    settings.RLHF_ROLLOUT_URLS = ["http://127.0.0.1:9/v1"]
    place(bits=8)
    with pytest.raises(RolloutsOfFewBits, match="CHAMSAE_TRAINING_BITS is 8"):
        requirements.refuse(Wish(base_policy))
    requirements.refuse(Wish(base_policy, "dpo"))
    with pytest.raises(WholeWeightsNeeded):  # alone: it says the same
        requirements.refuse(Wish(base_policy, "grpo"))


def test_few_bits_need_their_package_and_a_way_that_keeps_the_adapter_whole(place, base_policy, monkeypatch):
    place(bits=4)
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(QuantisationMissing, match="pip install bitsandbytes"):
        requirements.refuse(Wish(base_policy))
    monkeypatch.setattr(requirements, "find_spec", lambda name: object())
    requirements.refuse(Wish(base_policy))
    with pytest.raises(WholeWeightsNeeded, match=r"RLOO .* CHAMSAE_TRAINING_BITS is 4"):
        requirements.refuse(Wish(base_policy, "rloo"))


def test_the_ways_of_trl_are_those_whose_cards_name_it():
    assert set(labels.BY_TRL) == {way for way, (_, used) in publishing.HOW.items() if used == publishing.TRL}


def test_the_disk_is_counted_by_the_manifest(place, base_policy, monkeypatch):
    (policies.directory(base_policy) / "stray.tmp").write_bytes(bytes(2**20))
    needed = requirements.COPIES_NEEDED * policies.size_bytes(base_policy)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=needed))
    requirements.refuse(Wish(base_policy))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(NotEnoughSpace):
        requirements.refuse(Wish(base_policy))


def test_all_that_is_missing_is_told_at_once_in_the_reader_s_language(place, judged, base_policy, bare_machine):
    configure(base_policy, model_type="qwen3")
    place(backend="llama", device="cuda", bits=8)
    with pytest.raises(SeveralMissing) as caught:
        cycle.start(algorithm="kto")
    names = ("CHAMSAE_TRAINING_BACKEND", "CHAMSAE_TRAINING_BITS", "CHAMSAE_TRAINING_DEVICE")
    assert [name in text for name, text in zip(names, caught.value.texts, strict=True)] == [True] * 3
    assert not Run.objects.exists()
    assert len(preflight.check().refusals) == 3
    with override("ko"):
        assert all("주세요" in text for text in preflight.check().refusals)


def test_an_accelerator_has_memory_of_its_own(bare_machine, monkeypatch):
    monkeypatch.setattr(devices, "_is_torch_for_cpus", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [devices.is_on_cpu(device) for device in ("cpu", "auto", "cuda")] == [True, True, False]
    (bare_machine / "nvidiactl").touch()
    assert [devices.is_on_cpu(device) for device in ("cpu", "auto", "cuda")] == [True, False, False]


def test_cards_are_counted_by_their_files(bare_machine):
    assert devices.cards() == 0
    for name in ("nvidiactl", "nvidia0", "nvidia1", "nvidia-uvm"):
        (bare_machine / name).touch()
    assert devices.cards() == 2
