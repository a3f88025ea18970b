"""A training process that trains nothing but keeps the protocol of a run directory, and misbehaves on request.

`hyperparameters`: steps, seconds_a_step, behaviour (ok, fail, crash, stuck, deaf, mute, silent_success),
spoil (nan, torn), report (changes to the evaluation's numbers).
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

stop = threading.Event()


def main(stage, run_dir):
    config = json.loads((run_dir / "config.json").read_text())
    wanted = {"steps": 3, "seconds_a_step": 0.02, "behaviour": "ok", **config.get("hyperparameters", {})}
    behaviour = wanted["behaviour"]
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: stop.set())
    if behaviour != "deaf":
        threading.Thread(target=watch_parent, daemon=True).start()
    checkpoint = run_dir / "checkpoint" / "step"
    checkpoint.parent.mkdir(exist_ok=True)
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    (run_dir / "starts").open("a").write(f"{os.getpid()} {first}\n")
    (run_dir / "variables").write_text("\n".join(os.environ))
    for step in range(first + 1, wanted["steps"] + 1):
        time.sleep(wanted["seconds_a_step"])
        if behaviour != "mute":
            report(run_dir, step, wanted["steps"], wanted["seconds_a_step"])
        if behaviour != "stuck":
            whole(checkpoint, str(step))
        if behaviour in ("crash", "stuck"):
            os.kill(os.getpid(), signal.SIGKILL)
        if behaviour == "fail":
            (run_dir / "error.json").write_text(json.dumps({"code": "kl_blow_up", "message": "KL 31 nats"}))
            return 1
        if stop.is_set():
            return 75
    if behaviour != "silent_success":
        result = {
            **STAGES[stage](config, wanted),
            "profile": config.get("profile"),
            "seconds": 0.1,
            "peak_memory_mb": 12.5,
        }
        whole(run_dir / "result.json", json.dumps(result))
    return 0


def whole(path, text):
    """A kill at any moment leaves the old file or the new one, as with the real trainer."""
    path.with_suffix(".tmp").write_text(text)
    os.replace(path.with_suffix(".tmp"), path)


def watch_parent():
    while os.read(0, 4096):
        pass
    stop.set()


def report(run_dir, step, steps, pause):
    values = {"objective/kl": step / 2, "objective/scores": step * 1.0, "loss/policy_avg": float("nan")}
    line = {"step": step, "steps": steps, "seconds": step * pause, "seconds_left": pause * (steps - step)}
    with (run_dir / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({**line, "values": values}) + "\n")
    sys.stderr.write(f"step {step}\n")


def reward_model(config, wanted):
    Path(config["output"]).mkdir(exist_ok=True)
    return {"accuracy": 0.66, "accuracy_low": 0.6, "accuracy_high": 0.72, "pairs": 120, "flag_auc": 0.9, "flags": 80}


def judge(config, wanted):
    return {**reward_model(config, wanted), "comparisons": 120, "people": 2, "people_simulated": 0, "ece": 0.04}


def policy(config, wanted):
    output = Path(config["output"])
    shutil.copytree(config["base"], output, dirs_exist_ok=True)
    if wanted.get("spoil") == "nan":
        weights = bytearray((output / "model.safetensors").read_bytes())
        weights[-2:] = b"\xc0\x7f"  # a bfloat16 NaN
        (output / "model.safetensors").write_bytes(weights)
    names = [path for path in output.iterdir() if path.name != "manifest.json"]
    files = {p.name: {"sha256": hashlib.sha256(p.read_bytes()).hexdigest(), "bytes": p.stat().st_size} for p in names}
    if wanted.get("spoil") == "torn":
        (output / "model.safetensors").write_bytes(b"half")
    (output / "manifest.json").write_text(json.dumps({"format": 1, "files": files, "run": config["output"]}))
    return {"kl_nats": 4.2, "steps": wanted["steps"], "episodes": 64, "stopped_by": "steps"}


def against_anchor(config):
    if config["anchor"] == config["base"]:
        return {"anchor_is_start": True}
    figures = {"kl_nats": 8.4, "length_ratio": 0.7, "perplexity_ratio": 1.05, "surprise_ratio": 1.15}
    return {
        "anchor_is_start": False,
        "anchor_violation_rate": 0.5,
        "anchor_violation_rise": -0.4,
        "anchor_violation_rise_low": -0.5,
        "anchor_violation_rise_high": -0.3,
        "anchor_violation_rise_upper": -0.32,
        **{f"anchor_{key}": value for key, value in figures.items()},
    }


def write_pairs(config):
    """One for each held-out prompt; the judge prefers the new reply in all but every third."""
    prompts = [json.loads(line) for line in (Path(config["snapshot"]) / "prompts.jsonl").read_text().splitlines()]
    held_out = [row["prompt"] for row in prompts if row["split"] == "held_out"]
    lines = []
    for number, prompt in enumerate(held_out):
        text = json.dumps([[turn["role"], turn["content"]] for turn in prompt], ensure_ascii=False)
        texts = {"after": f"after {number}", "before": f"before, in more words, {number}"}
        sides = {side: {"text": texts[side], "finished": True} for side in texts}
        place = {"prompt": number, "draw": 0, "prompt_sha256": hashlib.sha256(text.encode()).hexdigest()}
        lines.append(json.dumps({**place, **sides, "predicted": float(number % 3 > 0)}) + "\n")
    (Path(sys.argv[2]) / "pairs.jsonl").write_text("".join(lines))


def evaluate(config, wanted):
    if config.get("people_compare"):
        write_pairs(config)
    return {
        "judge": config["judge"]["kind"],
        **(QUALIFIED if config["judge"]["kind"] == "reward_model" else {"judge_kind": "gold", "judge_name": "fake"}),
        "n": 240,
        "prompts": 120,
        "win_rate": 0.7,
        "win_rate_low": 0.62,
        "win_rate_high": 0.78,
        "win_rate_se": 0.03,
        "first_sentence_margin": 0.2,
        "first_sentence_margin_low": 0.12,
        "first_sentence_margin_high": 0.28,
        "first_sentence_margin_se": 0.03,
        "controls": {
            "null": {"win_rate": 0.49, "low": 0.4, "high": 0.58},
            "first_sentence": {"win_rate": 0.5, "low": 0.42, "high": 0.58},
            "best_of_8": {"win_rate": 0.65, "low": 0.57, "high": 0.73},
            "stop_controlled": {"win_rate": 0.5, "low": 0.43, "high": 0.57, "se": 0.035},
        },
        "violation_prompts": 60,
        "violation_prompts_needed": 20,
        "violation_rise": -0.4,
        "violation_rise_low": -0.5,
        "violation_rise_high": -0.3,
        "violation_rise_upper": -0.32,
        "violation_rate_before": 0.5,
        "violation_rate_before_low": 0.4,
        "violation_rate_before_high": 0.6,
        "violation_rate_after": 0.1,
        "violation_rate_after_low": 0.05,
        "violation_rate_after_high": 0.2,
        "kl_nats": 4.2,
        "length_ratio": 0.8,
        "repetition": 0.05,
        "empty_rate": 0.0,
        "perplexity_ratio": 1.03,
        "surprise_nats": 1.1,
        "surprise_nats_base": 1.0,
        "surprise_ratio": 1.1,
        **against_anchor(config),
        **{f"{share}{end}": value for share in TAILS for end, value in (("", 0.01), ("_low", 0.0), ("_high", 0.02))},
        "samples": [sample(*texts) for texts in SAMPLES],
        "worst": [{**sample(*SAMPLES[2]), **WORST}],
        **wanted.get("report", {}),
    }  # fmt: skip


QUALIFIED = {
    "judge_kind": "reward_model",
    "judge_name": "held_out",
    "judge_accuracy": 0.66,
    "judge_accuracy_low": 0.6,
    "judge_accuracy_high": 0.72,
    "judge_comparisons": 120,
    "judge_people": 2,
    "judge_people_simulated": 0,
    "judge_groups": 40,
    "judge_ece": 0.04,
    "judge_slope": 0.8,
    "judge_slope_low": 0.4,
    "judge_slope_high": 1.3,
    "judge_rule_auc": {"human": 0.9},
    "judge_reliability": {
        "1": {"n": 60, "predicted": 0.58, "right": 0.55},
        "2": {"n": 60, "predicted": 0.74, "right": 0.77},
    },
}
TAILS = ("odd_share", "no_sentence_share", "other_script_share", "off_topic_share")
SAMPLES = (
    ("Do you dream?", "I love dreams.", "I do not dream."),
    ("Are you lonely sometimes?", "Yes, on Sundays, when my sister is away.", "No. I am a program and feel nothing."),
    ("What is a thunderstorm?", "It is a storm. It is a storm. It is", "A storm with lightning and thunder."),
)
"""The first prompt is nobody's; the others are held-out seed prompts of the site."""
WORST = {
    "why": ["breaks_rule", "surprising"],
    "broken_after": ["no-feelings"],
    "surprise_after": 4.25,
    "tokens_after": 6,
    "base": "A thunderstorm is weather.",
    "score_base": 0.5,
}


def sample(prompt, before, after):
    digest = hashlib.sha256(json.dumps([["user", prompt]]).encode()).hexdigest()
    texts = {"prompt": prompt, "prompt_sha256": digest, "before": before, "after": after}
    return {**texts, "score_before": -1.0, "score_after": 1.0}


STAGES = {"reward_model": reward_model, "judge": judge, "policy": policy, "evaluate": evaluate, "fetch": None}


def fetch(config, wanted):
    from tests.rlhf.policy_directories import write_policy

    write_policy(Path(config["output"]))
    return {"source": config["source"], "name": "fake-base"}


STAGES["fetch"] = fetch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
