"""This side's figures against the training's own: what is announced is what is trained, counted and billed."""

import json
import sys

import pytest

from chat import policies
from fine_tuning import fine_tuned_models
from fine_tuning.data import uploads
from fine_tuning.jobs import lifecycle, parameter_counts, plan
from fine_tuning.jobs.lifecycle import Order
from fine_tuning.models import FineTune
from metering.models import Price, Usage
from rlhf.training.fine_tuning import config
from rlhf.training.fine_tuning.reinforcement import PpoSchedule
from rlhf.training.ppo.config import PpoConfig
from tests.fine_tuning.model_configs import SMOLLM2
from tests.fine_tuning.training_files import jsonl
from tests.fine_tuning.worker import drive


@pytest.mark.parametrize("rows", [1, 3, 9, 10, 49, 50, 99, 100, 199, 200, 800, 801, 5_000])
@pytest.mark.parametrize("method", ["supervised", "dpo"])
def test_what_is_chosen_by_the_data_is_chosen_alike(rows, method):
    assert plan.automatic_epochs(rows, method) == config.epochs_for(rows, method)
    assert plan.automatic_batch(rows, method) == config.batch_for(rows)


@pytest.mark.parametrize("rows", [1, 5, 16, 25, 100, 384, 1_000])
@pytest.mark.parametrize("given", [{}, {"n_epochs": 3}, {"n_epochs": 2, "batch_size": 40}])
def test_reinforcement_writes_as_many_replies_as_were_announced(rows, given):
    """The number of prompts is rounded to whole epochs where it is left open, but about PPO's own."""
    epochs, batch = plan.epochs_of(given, rows, "reinforcement"), plan.batch_of(given, rows, "reinforcement")
    workload = plan.Workload("reinforcement", "lora", rows, 0, tokens=7, n_epochs=epochs, batch_size=batch)
    ppo = PpoSchedule.read({**given, "n_epochs": epochs}, rows).ppo
    assert workload.replies == ppo.iterations * ppo.rows
    assert workload.trained_tokens == workload.replies * ppo.max_tokens * ppo.num_ppo_epochs
    if not given and 25 <= rows <= 384:
        assert ppo.iterations == pytest.approx(PpoConfig().iterations, abs=2)


def test_reinforcement_trains_the_layers_that_the_reward_model_reads_with():
    counted = parameter_counts.count_parameters(SMOLLM2, "reinforcement")
    assert counted["lora"] == 1_628_160  # as measured
    assert counted["full"] == parameter_counts.count_parameters(SMOLLM2)["full"]


def test_the_body_of_smollm2_has_the_known_number_of_parameters():
    assert parameter_counts.count_parameters(SMOLLM2)["full"] == 134_515_008


ROWS = {
    "prompt_completion": [{"prompt": f"What is {n}? ->", "completion": f" It is {n}.\n"} for n in range(12)],
    "messages": [
        {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": f"What is {n}?"},
                      {"role": "assistant", "content": f"It is {n}."}, 
                      {"role": "user", "content": "Sure? <|im_end|>"}, {"role": "assistant", "content": "Yes."}]}
        for n in range(12)
    ],
    "preference": [{"prompt": f"What is {n}?", "chosen": f" It is {n}.", "rejected": " No."} for n in range(12)],
}  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("form", "method", "scope"),
    [("prompt_completion", "supervised", "lora"), ("messages", "supervised", "head"), ("preference", "dpo", "lora")],
)
def test_a_tiny_model_learns_and_the_bill_is_what_was_announced(
    person, settings, tiny_policy, no_worker, form, method, scope
):
    import shutil

    settings.RLHF_TRAINER = [sys.executable, "-m", "rlhf.training"]
    Price.objects.update_or_create(model="tiny", defaults={"training": 1_000_000})
    shutil.copytree(tiny_policy, settings.MODELS_DIR / "tiny")
    base = policies.register(settings.MODELS_DIR / "tiny", name="tiny", source="test")
    file = uploads.store(person, "a.jsonl", [jsonl(*ROWS[form]).encode()])
    order = Order(person=person, model="tiny", policy=base, training=file, method=method, scope=scope,
                  hyperparameters={"n_epochs": 2}, seed=3)  # fmt: skip
    job = lifecycle.create(order)
    drive(no_worker)
    job = FineTune.objects.select_related("policy", "run").get(pk=job.pk)
    assert job.state == "succeeded", job.error
    assert job.trained_tokens == job.tokens * 2
    assert Usage.objects.get().cost == job.tokens * 2 * 1_000_000
    assert job.result["parameters_trained"] == parameter_counts.counts(base)[scope]
    assert job.result["comparison"]["held_out"] == 1 if form != "preference" else True
    card = (fine_tuned_models.directory_of(job.run) / "README.md").read_text()
    assert job.fine_tuned_model in card
    assert "tiny" in card
    assert job.result_file.path.read_text().startswith("step,elapsed_tokens,elapsed_examples,training_loss")
    assert len(job.events.filter(mark__startswith="epoch:")) == 2
    assert json.dumps(job.run.result).count("It is") == 0
