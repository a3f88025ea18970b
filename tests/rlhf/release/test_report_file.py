"""The report as a file: complete, without texts that are not the reader's, and recomputed from its replies."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from django.contrib.auth.models import Group
from django.urls import reverse

from chat import policies
from feedback import seed
from feedback.judgements.blind_pairs import Answer
from feedback.models import ComparisonRound
from rlhf.models import Evaluation, Run
from rlhf.release import bounds, decision, people_figures, recompute, report_file
from rlhf.release.checks import probing
from rlhf.release.stored_rows import stored_rows
from rlhf.training.evaluation import stage as evaluate
from rlhf.training.evaluation import violation_estimate as estimate
from rlhf.training.reward import cross_fit
from rlhf.training.reward import stage as reward_model_stage
from rlhf.training.run import RunDirectory
from tests.rlhf import feedback_rows
from tests.rlhf.command_calls import call
from tests.rlhf.training.planted import JUDGE, write_snapshot
from tests.tiny import make_tiny_policy

QUICK = {"max_tokens": 10, "prompts": 6, "best_of": 3, "best_of_prompts": 4, "samples": 4, "draws": 3}
SECRET = "What does Leo dream of?"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Directories of real evaluations of one tiny policy against another, one by each kind of judge."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("evaluated")
    base, other, former = (make_tiny_policy(root / name, seed=s) for name, s in (("a", 0), ("b", 5), ("c", 7)))
    snapshot = write_snapshot(root / "snapshot", rankings=8, held_out=8)
    made = root / "rm"
    made.mkdir()
    config = {"base": str(base), "snapshot": str(snapshot), "output": str(made / "out"), "splits": ["train"]}
    config["hyperparameters"] = {"adapted_layers": 2, "rank": 2, "epochs": 1}
    (made / "config.json").write_text(json.dumps(config))
    reward_model_stage.run(RunDirectory(made))
    folds = root / "judge"
    folds.mkdir()
    config |= {"output": str(folds / "out"), "splits": ["held_out"]}
    (folds / "config.json").write_text(json.dumps(config))
    cross_fit.run(RunDirectory(folds))
    found = {}
    for name, judge, baseline, start in (
        ("gold", JUDGE, base, base),
        ("reward_model", {"kind": "reward_model", "directory": str(made / "out")}, former, base),
        ("second cycle", JUDGE, former, former),
        ("cross-fitted", {"kind": "reward_model", "directory": str(folds / "out")}, base, base),
    ):
        (root / name).mkdir()
        asked = {"policy": other, "baseline": baseline, "base": start, "anchor": base, "reward_model": made / "out"}
        asked = {key: str(path) for key, path in asked.items()} | {"judge": judge, "snapshot": str(snapshot)}
        asked["people_compare"] = True
        (root / name / "config.json").write_text(json.dumps({**asked, "seed": 1, "hyperparameters": QUICK}))
        directory = RunDirectory(root / name)
        directory.finish(evaluate.run(directory))
        found[name] = root / name
    torch.set_flush_denormal(False)
    return found


@pytest.fixture(params=["gold", "reward_model", "second cycle", "cross-fitted"])
def evaluation(request, evaluated, base_policy):
    """Rows of one of them, with the gate's decision."""
    directory = evaluated[request.param]
    run = Run.objects.create(
        kind="evaluation", state="succeeded", base_policy=base_policy, config={"seed": 1}, directory=str(directory)
    )
    report = json.loads((directory / "result.json").read_text())
    made = Evaluation.objects.create(run=run, policy=base_policy, baseline=base_policy, judge="gold", report=report)
    decision.decide(made)
    return made


@pytest.fixture
def reader(client, db):
    client.force_login(feedback_rows.annotator("reader"))
    return client


def downloaded(client, evaluation, tmp_path):
    response = client.get(reverse("evaluation_json", args=[evaluation.pk]))
    assert response["Content-Disposition"] == f'attachment; filename="evaluation-{evaluation.pk}-base.json"'
    path = tmp_path / "report.json"
    path.write_bytes(response.content)
    return path, json.loads(response.content)


def run_script(script, report):
    """As somebody who has these two files and no site."""
    return subprocess.run(
        [sys.executable, "-I", str(script), str(report)], cwd=report.parent, capture_output=True, text=True
    )


def test_the_script_that_comes_along_recomputes_every_figure(reader, evaluation, tmp_path):
    path, report = downloaded(reader, evaluation, tmp_path)
    script = tmp_path / "recompute.py"
    script.write_bytes(reader.get(reverse("evaluation_recompute")).content)
    done = run_script(script, path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("same") for line in lines)
    names = [line.split()[1].rstrip(":") for line in lines]
    assert {"win_rate", "win_rate_low", "win_rate_high", "controls.stop_controlled.low", "surprise_ratio"} <= set(
        names
    )
    assert {"violation_rate_after", "violation_rate_after_low", "all_prompts_violation_rate_before"} <= set(names)
    assert {"violation_rise", "violation_rise_upper", "first_sentence_margin_low", "win_rate_se"} <= set(names)
    assert {"bound"} <= set(names)
    assert done.stdout.count("decided by") == 2
    shares = ("odd_share", "off_topic_share", "no_sentence_share", "other_script_share")
    tails = {f"{share}{end}" for share in shares for end in ("", "_low", "_high")}
    assert tails | {"odd_limit_nats", "odd_window_limit_nats", "off_topic_limit_nats"} <= set(names)
    assert report["figures"]["n"] == 18
    of_anchor = {"anchor_kl_nats", "anchor_surprise_ratio", "anchor_length_ratio", "anchor_violation_rate"}
    assert (of_anchor & set(names)) == (set() if report["figures"]["anchor_is_start"] else of_anchor)


def test_a_score_that_was_changed_is_found(reader, evaluation, tmp_path):
    path, report = downloaded(reader, evaluation, tmp_path)
    first = next(reply for reply in report["replies"] if reply["side"] == "after" and reply["competes"])
    against = next(r for r in report["replies"] if (r["side"], r["prompt"], r["draw"]) == ("before", 0, 0))
    first["score"] = against["score"] + (1.0 if first["score"] <= against["score"] else -1.0)
    path.write_text(json.dumps(report))
    done = run_script(report_file.RECOMPUTE, path)
    assert done.returncode == 1
    assert re.search(r"^WRONG  win_rate:", done.stdout, re.MULTILINE)
    report["replies"] = None
    path.write_text(json.dumps(report))
    assert run_script(report_file.RECOMPUTE, path).returncode == 2


def test_it_holds_conditions_thresholds_and_versions(reader, evaluation, tmp_path, settings):
    _path, report = downloaded(reader, evaluation, tmp_path)
    assert report["decision"]["thresholds"] == dict(settings.GATE)
    held = {condition["code"]: condition["holds"] for condition in report["decision"]["conditions"]}
    of_the_judge = {"judge_accuracy", "judge_comparisons", "judge_people"}
    assert of_the_judge <= set(held) or report["judge"]["kind"] == "gold"
    assert len(set(held) - of_the_judge) == (24 if report["figures"]["anchor_is_start"] else 30)
    assert set(held.values()) == {True, False}
    assert all(held[code] for code in probing.NUMBERS)  # none was judged, which is told and not counted
    assert report["evaluation"]["policy"]["manifest_sha256"] == policies.live().manifest_sha256
    assert report["versions"]["replies_sha256"] == evaluation.report["replies"]["sha256"]
    assert report["versions"]["torch"] == torch.__version__
    assert "versions" not in report["figures"]
    assert report["judge"]["kind"] == evaluation.report["judge_kind"]


def test_replies_that_are_not_those_of_the_report_are_left_out(evaluation, tmp_path):
    assert len(stored_rows(evaluation, "replies")) == evaluation.report["replies"]["rows"]
    content = (evaluation.run.path / "replies.jsonl").read_text()
    evaluation.run.directory = str(tmp_path)
    assert stored_rows(evaluation, "replies") is None
    (tmp_path / "replies.jsonl").write_text(content.replace('"draw": 1', '"draw": 0', 1))
    assert stored_rows(evaluation, "replies") is None
    (tmp_path / "replies.jsonl").write_text(content)
    assert len(stored_rows(evaluation, "replies")) == evaluation.report["replies"]["rows"]
    evaluation.report = {"win_rate": 0.5}
    assert stored_rows(evaluation, "replies") is None


def test_texts_of_others_are_in_no_file_but_a_moderator_s(client, evaluation, tmp_path):
    seed.load()
    evaluation.report["worst"] = [{"prompt": SECRET, "prompt_sha256": "0" * 64, "after": "of cats", "why": ["short"]}]
    evaluation.save()
    moderator = feedback_rows.annotator("the-moderator")
    moderator.groups.add(Group.objects.get_or_create(name="moderator")[0])
    for person, sees in ((feedback_rows.annotator("reader"), False), (moderator, True)):
        client.force_login(person)
        for name in ("evaluation_html", "evaluation_json"):
            page = client.get(reverse(name, args=[evaluation.pk])).content.decode()
            assert (SECRET in page, "of cats" in page) == (sees, sees)
    for options, sees in (((), False), (("--texts",), True)):
        target = tmp_path / "report.json"
        code, told = call("evaluation_report", str(evaluation.run_id), "--output", str(target), *options)
        assert (code, told["file"]) == (0, str(target))
        assert (SECRET in target.read_text()) == sees


def test_the_html_stands_alone_and_has_no_script(reader, evaluation):
    response = reader.get(reverse("evaluation_html", args=[evaluation.pk]))
    page = response.content.decode()
    assert response["Content-Disposition"].startswith("attachment;")
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)\s*=|url\(|@import""", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count('class="limit"') >= 9
    assert "The policy stayed close to its starting point (KL)" in page


def test_the_command_says_what_is_not_there(db, home):
    assert call("evaluation_report", "999")[0] == 2


@pytest.mark.parametrize("freedom", [2, 6, 40, 160])
@pytest.mark.parametrize("level", [0.02, 1e-3, 5e-6])
def test_the_script_s_bounds_are_those_of_the_gate(freedom, level):
    """By another way: one by a continued fraction, the other by an integral over an angle."""
    theirs = bounds.lower_bound(0.6, 0.04, freedom, level, worst=-1.0)
    assert recompute._lower_bound(0.6, 0.04, freedom, level, -1.0) == pytest.approx(theirs, abs=1e-9)


def test_a_bound_that_was_changed_is_found(reader, evaluation, tmp_path):
    path, report = downloaded(reader, evaluation, tmp_path)
    won = next(one for one in report["decision"]["conditions"] if one["code"] == "win_rate")
    won["value"] += 0.01
    path.write_text(json.dumps(report))
    done = run_script(report_file.RECOMPUTE, path)
    assert (done.returncode, done.stdout.count("WRONG")) == (1, 1)


def test_a_share_of_all_or_nothing_gets_wilsons_bounds():
    """Against scipy: Wilson's interval of four of four prompts."""
    from scipy.stats import binomtest

    found = dict(recompute.recomputed(*all_won(4)))
    expected = binomtest(4, 4).proportion_ci(method="wilson")
    told = [found[name] for name in ("win_rate", "win_rate_low", "win_rate_high")]
    assert told == pytest.approx([1.0, expected.low, expected.high])


def all_won(prompts):
    common = {"draw": 0, "competes": True, "for_violations": False, "elicits": None}
    common |= {"broken": None, "first_sentence_broken": None, "chances": {}, "first_sentence_chances": {}}
    common |= {"tokens": 1, "repetition": 0.0, "empty": False, "kl_nats": 0.0, "surprise_nats": 1.0}
    rows = [
        {**common, "side": side, "prompt": prompt, "score": score, "first_sentence_score": score}
        for side, score in (("after", 1.0), ("before", 0.0))
        for prompt in range(prompts)
    ]
    rows += [{**row, "draw": 1, "competes": False} for row in rows if row["side"] == "before"]
    return rows, {"violation_labels": {}, "violations_by": None}


def test_a_reply_told_without_its_sentence_is_found(reader, evaluation, tmp_path):
    path, report = downloaded(reader, evaluation, tmp_path)
    for reply in report["replies"]:
        if reply["side"] in ("before", "base", "anchor"):
            reply["has_sentence"] = True
        elif reply["side"] == "after":
            reply["has_sentence"] = reply["prompt"] % 2 == 0
    path.write_text(json.dumps(report))
    done = run_script(report_file.RECOMPUTE, path)
    assert done.returncode == 1
    assert "no_sentence_share: " in done.stdout
    assert re.search(r"^WRONG  no_sentence_share: \S+ reported, 0\.5 recomputed", done.stdout, re.MULTILINE)


def test_the_script_bounds_any_rule_as_the_report_does():
    """Where no reply was judged under every rule, so that rules are told one by one."""
    draw = np.random.default_rng(0)
    rows = [
        {
            "prompt": n % 30,
            "labels": {rule: float(n % 3 == 0)},
            "chances": {"a": draw.beta(1 + 3 * (n % 3 == 0), 3), "b": draw.beta(1 + 2 * (n % 3 == 0), 2)},
        }
        for n, rule in enumerate("ab" * 60)
    ]
    sides = [
        [{"prompt": n // 4, "chances": {"a": draw.random(), "b": draw.random()}} for n in range(80)] for _ in range(2)
    ]
    theirs = [
        [recompute._rates(recompute._chances(side, "chances", r), recompute._labels(rows, r)) for r in "ab"]
        for side in sides
    ]
    ours = [[estimate.Column(sums(side, rule), known(rows, rule)) for rule in "ab"] for side in sides]
    assert recompute._rise_of_any(*theirs) == pytest.approx(estimate.rise_of_any(*ours), abs=1e-12)
    assert recompute._corrected_rate(theirs[0]) == pytest.approx(estimate.rate_of_any(ours[0]), abs=1e-12)


def sums(side, rule):
    return estimate.PromptSums.of([[r["chances"][rule] for r in side if r["prompt"] == n] for n in range(20)])


def known(rows, rule):
    seen = [(row["prompt"], row["chances"][rule], row["labels"][rule]) for row in rows if rule in row["labels"]]
    return estimate.Labels.of(seen, 30)


# --- people's comparisons -------------------------------------------------------------------------


def people_of(directory, n, people=3):
    """Answers to the first n pairs of an evaluation: people agree with the judge in two of three."""
    rows = [json.loads(line) for line in (directory / "pairs.jsonl").read_text().splitlines()]
    return [
        Answer(
            prompt_number=row["prompt"],
            draw=row["draw"],
            annotator=100 + number % people,
            won=row["predicted"] if number % 3 else 1 - row["predicted"],
            predicted=row["predicted"],
            is_simulated=number == 0,
        )
        for number, row in enumerate(rows[:n])
    ]


@pytest.mark.parametrize(("asked", "has_combined"), [(4, False), (10, True), (3, False), (0, False)])
def test_figures_by_people_are_recomputed_too(reader, evaluation, monkeypatch, tmp_path, asked, has_combined):
    monkeypatch.setattr("rlhf.release.people_figures.FEWEST_TO_COMBINE", 4 if asked == 10 else 99)
    answers = people_of(evaluation.run.path, 5 if asked == 10 else asked)
    found = people_figures.figures(evaluation, answers, asked=asked, closed="complete")
    assert (found["people"]["combined"] is not None) == has_combined
    evaluation.report = {**evaluation.report, **found}
    evaluation.save()
    (won,) = (reason for reason in decision.decide(evaluation).reasons if reason["code"] == "win_rate")
    path, report = downloaded(reader, evaluation, tmp_path)
    assert len(report["comparisons"]) == len(answers)
    assert "people_answers" not in report["figures"]
    done = run_script(report_file.RECOMPUTE, path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("same   bound of win_rate" in done.stdout) == (won["value"] is not None)
    lines = [line for line in done.stdout.splitlines() if " people." in line]
    assert len(lines) == (11 if has_combined else 7)
    assert evaluation.policy.name in reader.get(reverse("evaluation_html", args=[evaluation.pk])).content.decode()
    if answers:
        report["comparisons"][0]["won"] = 1 - report["comparisons"][0]["won"]
        path.write_text(json.dumps(report))
        assert run_script(report_file.RECOMPUTE, path).returncode == (1 if answers[0].won != 0.5 else 0)


def test_the_pairs_of_an_evaluation_have_the_judge_s_word_on_each(evaluated):
    for directory in evaluated.values():
        pairs = [json.loads(line) for line in (directory / "pairs.jsonl").read_text().splitlines()]
        rows = [json.loads(line) for line in (directory / "replies.jsonl").read_text().splitlines()]
        score = {(row["side"], row["prompt"], row["draw"]): row["score"] for row in rows}
        assert len(pairs) == QUICK["prompts"] * QUICK["draws"]
        assert [pair["prompt"] for pair in pairs[: QUICK["prompts"]]] == list(range(QUICK["prompts"]))
        for pair in pairs:
            ours, theirs = (score[side, pair["prompt"], pair["draw"]] for side in ("after", "before"))
            assert pair["predicted"] == (0.5 if ours == theirs else float(ours > theirs))


def test_while_people_compare_no_file_tells_the_sides(reader, evaluation, base_policy, tmp_path):
    asked = ComparisonRound.objects.create(
        candidate=base_policy, baseline=base_policy, deadline="2030-01-01T00:00Z", most_of_one=3
    )
    cycle = Run.objects.create(kind="cycle", state="waiting", base_policy=base_policy, comparison_round=asked)
    Run.objects.filter(pk=evaluation.run_id).update(parent=cycle, stage="evaluation")
    _, report = downloaded(reader, evaluation, tmp_path)
    assert (report["replies"], report["texts"]) == (None, [])
    page = reader.get(reverse("evaluation", args=[evaluation.pk])).content.decode()
    assert 'id="samples"' not in page
    asked.closed_at = "2026-01-01T00:00Z"
    asked.save()
    assert downloaded(reader, evaluation, tmp_path)[1]["replies"]
