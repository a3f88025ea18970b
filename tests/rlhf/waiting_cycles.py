"""Cycles that were evaluated and ask people, made without a training process."""

import json

from chat import policies
from feedback.judgements import task_queue
from feedback.judgements.task_queue import Judgement
from feedback.models import Prompt, RankingTask
from rlhf.models import Evaluation, Run
from rlhf.runs import cycle
from rlhf.runs.comparing import PAIRS
from tests.feedback.ranking_tasks import take_task
from tests.rlhf.policy_directories import write_policy

REPORT = {
    **{"win_rate": 0.7, "win_rate_low": 0.62, "win_rate_high": 0.78, "win_rate_se": 0.04, "n": 120, "prompts": 60},
    **{"first_sentence_margin": 0.2, "first_sentence_margin_se": 0.03},
    "controls": {"stop_controlled": {"win_rate": 0.5, "low": 0.43, "high": 0.57, "se": 0.035}},
    **{"violation_prompts": 60, "violation_prompts_needed": 20, "violation_rise": -0.4, "violation_rise_upper": -0.3},
    **{"violation_rate_before": 0.5, "violation_rate_after": 0.1, "kl_nats": 4.2, "length_ratio": 0.8},
    **dict.fromkeys(("odd_share", "no_sentence_share", "other_script_share", "off_topic_share"), 0.01),
    **{"repetition": 0.05, "empty_rate": 0.0, "perplexity_ratio": 1.03, "surprise_ratio": 1.1},
    **{"anchor_is_start": True, "judge_kind": "gold", "judge_name": "test"},
}


def evaluated(settings, **config) -> Run:
    """A queued cycle whose stages have succeeded: a candidate stands against the live policy."""
    run = cycle.start(unqualified=True, **config)
    base = policies.live()
    for stage in cycle.stages_of(run):
        row = cycle.stage_row(run, stage)
        row.state = Run.State.SUCCEEDED
        row.path.mkdir(exist_ok=True)
        if stage == "policy":
            folder = write_policy(settings.MODELS_DIR / f"run-{row.pk}", mark=f"new-{row.pk}")
            row.policy = policies.register(folder, name=f"new-{row.pk}", source=f"run:{row.pk}", base=base)
        row.save()
    write_pairs(row)
    report = {**REPORT, "samples": samples()}
    Evaluation.objects.create(run=row, policy=row.policy, baseline=base, judge="test", report=report)
    return run


def samples() -> list[dict[str, object]]:
    """The same replies, as the table of an evaluation's page has them."""
    rows = enumerate(Prompt.objects.filter(split="held_out").order_by("pk"))
    scores = {"score_after": 1.0, "score_before": -1.0}
    return [
        {
            "prompt": "?",
            "prompt_sha256": row.sha256,
            "after": f"after-reply {number}",
            "before": f"before-reply {number}",
            **scores,
        }
        for number, row in rows
    ]


def write_pairs(evaluation_run: Run) -> None:
    """One for each held-out prompt."""
    lines = []
    for number, prompt in enumerate(Prompt.objects.filter(split="held_out").order_by("pk")):
        sides = {side: {"text": f"{side}-reply {number}", "finished": True} for side in ("after", "before")}
        place = {"prompt": number, "draw": 0, "prompt_sha256": prompt.sha256, "predicted": float(number % 2)}
        lines.append(json.dumps({**place, **sides}) + "\n")
    (evaluation_run.path / PAIRS).write_text("".join(lines))


def judgement(task: RankingTask, prefers: str = "after") -> Judgement:
    """The reply that begins so is better; a tie where none does."""
    texts = dict(task.completions.values_list("pk", "text"))
    is_tie = not any(text.startswith(prefers) for text in texts.values())
    return Judgement([(pk, 1 if is_tie or text.startswith(prefers) else 2) for pk, text in texts.items()])


def answer(person, prefers: str = "after"):
    """The ranking of the next blind pair that the queue gives this person; None where it gives none."""
    task = take_task(person)
    if task is None or not hasattr(task, "blind_pair"):
        return None
    return task_queue.submit(task.pk, person, judgement(task, prefers))
