"""TRL's trainers take one step on each export as it is."""

import pytest

from accounts.models import User
from feedback.models import CompletionThumb
from tests.feedback.questions.asked_projects import answer, make_project
from tests.rlhf import feedback_rows
from tests.rlhf.exports.exported import export
from tests.tiny import make_tiny_policy

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing_:FutureWarning"),  # TRL's own call of transformers
]
COMMON = {
    **{"max_steps": 1, "per_device_train_batch_size": 2, "bf16": False, "use_cpu": True, "report_to": []},
    **{"disable_tqdm": True, "save_strategy": "no", "dataloader_pin_memory": False, "logging_steps": 1},
}


@pytest.fixture
def tiny(tmp_path):
    return make_tiny_policy(tmp_path / "tiny", layers=2)


@pytest.fixture
def load(home, tmp_path):
    import datasets

    datasets.disable_progress_bars()
    ann = feedback_rows.annotator("ann")
    for number in range(3):
        made = feedback_rows.rank(ann, number, ranks=(1, 2), margins=[])
        for completion in made.task.completions.all():
            CompletionThumb.objects.create(completion=completion, annotator=ann, is_up=completion.index == 0)

    def make(key):
        folder = export(tmp_path / key, key)
        return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))["train"]

    return make


def tokenizer(tiny):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


def one_step(trainer):
    assert trainer.train().global_step == 1
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses
    assert all(loss > 0 for loss in losses)


def test_a_reward_model_trains_on_preference_pairs(load, tiny, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = 0
    one_step(
        RewardTrainer(
            model=model,
            args=RewardConfig(output_dir=str(tmp_path / "r"), **COMMON),
            train_dataset=load("trl-preference"),
            processing_class=tokenizer(tiny),
        )
    )


def policy(tiny):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)


def test_dpo_trains_on_preference_pairs(load, tiny, tmp_path):
    from trl import DPOConfig, DPOTrainer

    one_step(
        DPOTrainer(
            model=policy(tiny),
            args=DPOConfig(output_dir=str(tmp_path / "d"), **COMMON),
            train_dataset=load("trl-preference"),
            processing_class=tokenizer(tiny),
        )
    )


def test_kto_trains_on_thumbs(load, tiny, tmp_path):
    from trl import KTOConfig, KTOTrainer

    one_step(
        KTOTrainer(
            model=policy(tiny),
            args=KTOConfig(output_dir=str(tmp_path / "k"), **COMMON),
            train_dataset=load("trl-kto"),
            processing_class=tokenizer(tiny),
        )
    )


@pytest.mark.parametrize("key", ["sft", "demonstrations"])
def test_sft_trains_on_what_was_chosen_and_what_people_wrote(load, tiny, tmp_path, key):
    from trl import SFTConfig, SFTTrainer

    make_project("demonstrate", members=["ann"])
    while answer(User.objects.get(username="ann")):
        pass
    one_step(
        SFTTrainer(
            model=policy(tiny),
            args=SFTConfig(output_dir=str(tmp_path / "s"), **COMMON),
            train_dataset=load(key),
            processing_class=tokenizer(tiny),
        )
    )
