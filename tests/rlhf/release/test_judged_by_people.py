"""A cycle on a tiny model that people judged: the judge is cross-fitted and measured, and the gate asks for it."""

import json
import sys

import pytest

from chat import policies
from feedback.models import Completion, Prompt, Ranking, RankingTask
from feedback.prompts import digest
from rlhf.models import Evaluation, Run
from rlhf.release import judge_facts, promotion, report_file
from rlhf.runs import cycle
from rlhf.runs.supervisor import Supervisor
from rlhf.training.snapshot.files import SnapshotFiles
from tests.rlhf import feedback_rows
from tests.short_cycle import SHORT
from tests.tastes import vowels

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]
THINGS = ("stars", "rivers", "bread", "trains", "whales", "glass", "cities", "snow", "music", "bees", "clocks")
ASKS = (
    "What is it about {} that people like?",
    "Why are there {}?",
    "Tell me of {} in spring.",
    "How old can {} be?",
    "Who made the first {}, and where?",
)
TEXTS = ("Nobody knows.", "It is a thing of light and air.", "I am sure of it", "They say so, and so it is, I guess.")


def judge_prompt(number, split, person):
    """A person who likes vowels ranks two replies to it."""
    thing, ask = THINGS[number % len(THINGS)], ASKS[number // len(THINGS)]
    messages = [{"role": "user", "content": f"{split}: {ask.format(thing)}"}]
    prompt, _ = Prompt.objects.get_or_create(
        sha256=digest(messages), defaults={"messages": messages, "split": split, "language": "en"}
    )
    task = RankingTask.objects.create(prompt=prompt, policy=feedback_rows.any_policy(), state="done")
    texts = [TEXTS[number % 4], TEXTS[(number + 1 + number // 4 % 3) % 4]]
    made = [
        Completion.objects.create(task=task, index=index, text=text, finish_reason="stop")
        for index, text in enumerate(texts)
    ]
    better = max(range(2), key=lambda index: vowels("", texts[index]))
    ranks = {str(made[better].pk): 1, str(made[1 - better].pk): 2}
    ranking = Ranking.objects.create(task=task, annotator=person, ranks=ranks)
    for index, text in enumerate(texts):
        feedback_rows.flag(ranking, index, is_violation="light" in text)


@pytest.fixture
def site(home, settings, tiny_policy):
    import shutil

    settings.RLHF_TRAINER = [sys.executable, "-m", "rlhf.training"]
    settings.GATE = {**settings.GATE, "judge_comparisons_min": 30, "judge_people_min": 3}
    shutil.copytree(tiny_policy, settings.MODELS_DIR / "tiny")
    live = policies.register(settings.MODELS_DIR / "tiny", name="tiny", source="test")
    promotion.make_first_live(live)
    people = [feedback_rows.annotator(name) for name in ("ann", "bob", "eve")]
    for number in range(24):
        judge_prompt(number, "train", people[number % 3])
    for number in range(48):
        judge_prompt(number, "held_out", people[number % 3])
    return live


def test_a_cycle_measures_its_judge_before_it_lets_it_judge(site):
    small = {**SHORT, "judge": {"epochs": 1, "rank": 4}}
    run = cycle.drive(cycle.start(hyperparameters=small).pk, Supervisor())
    assert run.state == Run.State.SUCCEEDED, run.error
    judge = run.stages.get(stage="judge")
    assert (judge.result["prompt_folds"], judge.result["annotator_folds"]) == (4, 2)
    assert judge.result["people"] == 3
    comparisons = sum(len(r.pairs) for r in SnapshotFiles.load(run.snapshot.path).rankings if r.split == "held_out")
    evaluation = Evaluation.objects.get()
    assert evaluation.report["judge_comparisons"] == judge.result["comparisons"] == comparisons >= 30
    assert evaluation.report["judge_accuracy"] == judge.result["accuracy"]
    found = judge_facts.qualification(evaluation.report)
    assert found.picture is not None
    assert found.rules == [("human", found.rules[0][1])]
    codes = [reason["code"] for reason in evaluation.newest_decision().reasons]
    assert {"judge_accuracy", "judge_comparisons", "judge_people"} < set(codes)
    file = json.loads(report_file.render(evaluation, "json", []))
    assert len([row for row in file["judgements"] if "comparison" in row]) == comparisons
    assert "ann" not in {row.get("comparison", {}).get("person") for row in file["judgements"]}
