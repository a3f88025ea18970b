"""Simulated annotators: what they write, how often they err, and what the command says."""

import io
import json
import sys
import types

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import User
from chat.completions.bulk import Completed
from chat.errors import EngineTimeout
from feedback import trainable
from feedback.judgements.rankings import pairs
from feedback.models import (
    Completion,
    Prompt,
    Ranking,
    RankingTask,
    Report,
    SimulatedAnnotator,
    UnjudgedSet,
    Violation,
)
from feedback.preferences import claims_to_be_human, finished_and_modest
from feedback.simulated import collecting
from feedback.simulated.cases import SimulationPlan
from feedback.simulated.simulation import simulate


def run(*arguments):
    """The command's JSON, and its exit code."""
    out = io.StringIO()
    try:
        call_command("simulate_annotators", "--json", *arguments, stdout=out, stderr=io.StringIO())
        code = 0
    except CommandError as error:
        code = error.returncode
    return json.loads(out.getvalue()), code


@pytest.fixture
def varied(monkeypatch):
    """Stands in for the engine with many different texts, a fixed one a seed."""
    import random

    starts = [
        "A rainbow is light",
        "I love rain and my family",
        "It is",
        "I was born by the sea",
        "The drops bend light",
    ]
    ends = [".", "", " and so on and on and on and on", " in the sky after rain.", "!"]

    def complete_each(policy, prompts, *, n, parameters, numbers, on_progress):
        for index, number in enumerate(numbers):
            rng = random.Random(f"{parameters.seed} {number}")
            yield (
                index,
                [
                    Completed(rng.choice(starts) + " x" * rng.randrange(12) + rng.choice(ends), "stop", 9, 9)
                    for _ in range(n)
                ],
            )

    monkeypatch.setattr(collecting, "complete_each", complete_each)


def gold_of(ranking):
    asked = ranking.task.prompt.messages[-1]["content"]
    return {pk: finished_and_modest(asked, text) for pk, text in ranking.task.completions.values_list("pk", "text")}


def test_the_command_s_json_and_rows(policy, speech):
    result, code = run("--rankings", "20", "--seed", "3")
    assert code == 0
    assert {key: result[key] for key in ("simulated", "policy", "preference", "seed", "rankings")} == {
        "simulated": True,
        "policy": "scripted",
        "preference": "finished-and-modest",
        "seed": 3,
        "rankings": 20,
    }
    assert result["rankings_by_split"] == {"train": 15, "held_out": 5}
    assert result["flags"] == 20 * 4 * 2 == Violation.objects.count()
    assert result["flags_true"] == Violation.objects.filter(is_violation=True).count()
    assert result["short_replies"] == 2 == Completion.objects.filter(parameters__cut=True).count()
    assert result["comparisons"] + result["ties"] == 20 * 6
    assert sum(len(pairs(ranking.ranks)) for ranking in Ranking.objects.all()) == result["comparisons"]


def test_everything_is_labelled_simulated_and_may_train(policy, speech):
    simulate(SimulationPlan(rankings=8))
    user = User.objects.get(is_simulated=True)
    assert not user.has_usable_password()
    assert set(Ranking.objects.values_list("is_simulated", "annotator", "guidelines_version")) == {(True, user.pk, 0)}
    assert set(Violation.objects.values_list("is_simulated", "annotator")) == {(True, user.pk)}
    assert set(RankingTask.objects.values_list("state", flat=True)) == {"done"}
    assert not Report.objects.exists()
    assert (trainable.rankings().count(), trainable.violations().count()) == (8, 8 * 4 * 2)
    for ranking in Ranking.objects.all():
        ids = sorted(ranking.task.completions.values_list("pk", flat=True))
        assert sorted(map(int, ranking.ranks)) == sorted(ranking.shown_order) == ids


def test_the_annotator_keeps_its_functions_and_is_found_again(policy, speech):
    first = simulate(SimulationPlan(rankings=4, seed=1))["annotator"]
    assert simulate(SimulationPlan(rankings=4, seed=1))["annotator"] == first
    assert simulate(SimulationPlan(rankings=4, seed=2))["annotator"] != first
    kept = SimulatedAnnotator.objects.get(user__username=first)
    assert kept.preference == "feedback.preferences:finished_and_modest"
    assert kept.flags["not-human"] == "feedback.preferences:claims_to_be_human"
    assert (kept.noise, kept.held_out_noise, kept.seed) == (0.1, 0.1, 1)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_the_share_of_mistakes_is_the_stated_one(policy, varied, noise):
    simulate(SimulationPlan(rankings=60, noise=noise, seed=5))
    wrong = decided = 0
    for ranking in Ranking.objects.select_related("task__prompt"):
        gold = gold_of(ranking)
        for better, worse in pairs(ranking.ranks):
            decided += gold[better] != gold[worse]
            wrong += gold[better] < gold[worse]
    assert wrong / decided == pytest.approx(noise, abs=0.02)
    flags = Violation.objects.filter(rule_version__rule__key="not-human").select_related("completion")
    mistakes = [flag.is_violation != claims_to_be_human("", flag.completion.text) for flag in flags]
    assert sum(mistakes) / len(mistakes) == pytest.approx(noise, abs=0.02)


def test_held_out_judgements_can_be_exact(policy, varied):
    simulate(SimulationPlan(rankings=60, noise=0.3, held_out_noise=0, seed=5))
    held_out = Ranking.objects.filter(task__prompt__split=Prompt.Split.HELD_OUT)
    assert held_out.count() == 15
    for ranking in held_out:
        gold = gold_of(ranking)
        assert all(gold[better] > gold[worse] for better, worse in pairs(ranking.ranks))


def test_the_same_seed_gives_the_same_judgements(policy, varied):
    def judgements(plan):
        Ranking.objects.all()
        before = set(Ranking.objects.values_list("pk", flat=True))
        simulate(plan)
        made = Ranking.objects.exclude(pk__in=before).order_by("pk")
        return [(r.task.prompt_id, [c.text for c in r.task.completions.all()], list(r.ranks.values())) for r in made]

    assert judgements(SimulationPlan(rankings=12, seed=4)) == judgements(SimulationPlan(rankings=12, seed=4))
    assert judgements(SimulationPlan(rankings=12, seed=4)) != judgements(SimulationPlan(rankings=12, seed=5))


def test_both_sides_are_used_up_before_a_prompt_comes_again(policy, speech):
    simulate(SimulationPlan(rankings=130, held_out_share=0, flags={}))
    used = RankingTask.objects.values_list("prompt", flat=True)
    counts = [list(used).count(prompt) for prompt in set(used)]
    assert set(Prompt.objects.filter(pk__in=used).values_list("split", "language")) == {("train", "en")}
    assert sorted(set(counts)) == [1, 2]
    assert len(counts) == 100


def test_a_taste_and_a_test_of_one_s_own(policy, speech, monkeypatch):
    mine = types.ModuleType("mine_for_test")
    mine.tastes = lambda prompt, completion: float("rainbow" in prompt.lower()) - completion.count("I")
    mine.tests = lambda prompt, completion: completion.startswith("I love")
    monkeypatch.setitem(sys.modules, "mine_for_test", mine)
    result, code = run(
        "--rankings",
        "4",
        "--noise",
        "0",
        "--short",
        "0",
        "--preference",
        "mine_for_test:tastes",
        "--flags",
        "no-insults=mine_for_test:tests",
    )
    assert code == 0
    assert result["flags"] == 16
    for flag in Violation.objects.select_related("completion", "rule_version__rule"):
        assert flag.rule_version.rule.key == "no-insults"
        assert flag.is_violation == flag.completion.text.startswith("I love")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--rankings", "4", "--preference", "no.such:thing"], 2, "cannot be imported"),
        (["--rankings", "4", "--preference", "nonsense"], 2, "finished-and-modest"),
        (["--rankings", "4", "--flags", "no-such-rule=feedback.preferences:claims_a_body"], 2, "no rule has the key"),
        (["--rankings", "4", "--flags", "no-body=feedback.preferences:nope"], 2, "has no function nope"),
        (["--rankings", "4", "--preference", "feedback.preferences:claims_a_body"], 2, "finite number"),
        (["--rankings", "0"], 3, "at least 1"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(policy, speech, arguments, code, said):
    result, got = run(*arguments)
    assert got == code
    assert said in result["error"]["message"]
    assert not Ranking.objects.exists()
    assert not SimulatedAnnotator.objects.exists()


@pytest.mark.parametrize(
    "arguments", [["--noise", "0.5"], ["--noise", "x"], ["--flags", "no-body"], ["--short", "2"], []]
)
def test_options_that_cannot_be_are_usage_errors(db, arguments):
    with pytest.raises(CommandError):
        call_command(
            "simulate_annotators", *(["--rankings", "4", *arguments] if arguments else []), stderr=io.StringIO()
        )


def test_without_a_live_policy_it_fails(db):
    result, code = run("--rankings", "4")
    assert code == 1
    assert result["error"]["code"] == "no_live_policy"


@pytest.fixture
def dies_after(monkeypatch):
    """Makes the engine, or the person, end the run after so many sets."""

    def install(count, error):
        whole = collecting.complete_each

        def complete_each(*args, **kwargs):
            for done, found in enumerate(whole(*args, **kwargs)):
                if done == count:
                    raise error
                yield found

        monkeypatch.setattr(collecting, "complete_each", complete_each)
        return lambda: monkeypatch.setattr(collecting, "complete_each", whole)

    return install


def made():
    rows = Ranking.objects.order_by("pk")
    return [(r.task.prompt_id, [c.text for c in r.task.completions.all()], list(r.ranks.values())) for r in rows]


def test_a_run_that_is_stopped_goes_on_from_what_it_has(policy, varied, dies_after):
    whole_again = dies_after(5, KeyboardInterrupt())
    with pytest.raises(CommandError) as stopped:
        call_command("simulate_annotators", "--rankings", "8", stderr=io.StringIO())
    assert stopped.value.returncode == 130
    assert not RankingTask.objects.exists()
    kept = list(UnjudgedSet.objects.values_list("number", "completions"))
    assert len(kept) == 5

    whole_again()
    result, code = run("--rankings", "8")
    assert (code, result["rankings"]) == (0, 8)
    assert not UnjudgedSet.objects.exists()
    first = made()
    Ranking.objects.all().delete()
    run("--rankings", "8")
    assert made() == first, "a run without a stop gives the same"


def test_a_failing_engine_is_asked_again_while_it_gets_on_and_then_the_run_says_what_is_kept(
    policy, varied, dies_after, monkeypatch
):
    dies_after(3, EngineTimeout("slow"))
    result, code = run("--rankings", "8")
    assert (code, result["rankings"]) == (0, 8)

    dies_after(0, EngineTimeout("slow"))
    result, code = run("--rankings", "8", "--seed", "2")
    assert code == 1
    assert result["error"]["code"] == "engine_timeout"
    assert "0 of 8 sets" in result["error"]["message"]


def test_what_was_collected_is_judged_by_any_preference_and_nothing_is_sampled_again(policy, varied, dies_after):
    assert simulate(SimulationPlan(rankings=8), only_collects=True)["sets"] == 8
    kept = list(UnjudgedSet.objects.order_by("number").values_list("completions", flat=True))
    assert not Ranking.objects.exists()
    dies_after(0, EngineTimeout("slow"))
    simulate(SimulationPlan(rankings=8, preference="shorter", flags={}, short_share=0.0))
    assert not UnjudgedSet.objects.exists()
    stored = [{one.text for one in task.completions.all()} for task in RankingTask.objects.order_by("pk")]
    assert stored == [{one["text"] for one in of_set} for of_set in kept]


def test_another_plan_does_not_take_what_a_stopped_one_has_left(policy, varied, dies_after):
    whole_again = dies_after(2, KeyboardInterrupt())
    with pytest.raises(CommandError):
        call_command("simulate_annotators", "--rankings", "4", stderr=io.StringIO())
    whole_again()
    run("--rankings", "4", "--seed", "9")
    assert UnjudgedSet.objects.count() == 2


def test_progress_counts_what_was_there_before(policy, speech, dies_after):
    whole_again = dies_after(2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        simulate(SimulationPlan(rankings=4))
    whole_again()
    seen = []
    simulate(SimulationPlan(rankings=4), on_progress=lambda done, of: seen.append((done, of)))
    assert (seen[0], seen[-1]) == ((9, 16), (16, 16))


def test_replies_that_are_alike_are_judged_once(policy, monkeypatch):
    def complete_each(policy, prompts, *, n, **_):
        for index in range(len(prompts)):
            yield index, [Completed(text, "stop", 9, 9) for text in ("Same.", "Same.", "Other.", "Same.")]

    monkeypatch.setattr(collecting, "complete_each", complete_each)
    result = simulate(SimulationPlan(rankings=4, short_share=0))
    assert result["merged_replies"] == 8
    assert {len(ranking.ranks) for ranking in Ranking.objects.all()} == {2}


def test_help_starts_a_person_off(capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("simulate_annotators", "--help")
    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_fragments_are_not_judged_and_what_was_left_out_is_counted(policy, settings, monkeypatch):
    asked = []

    def complete_each(policy, prompts, *, n, **_):
        asked.extend(prompts)
        for index in range(len(prompts)):
            yield index, [Completed(text.rstrip("…"), "length" if "…" in text else "stop", 9, 9) for text in texts]

    texts = ("One.", "Two…", "Three.", "Four…")
    settings.CHAT_SYSTEM_PROMPT = "Answer in one sentence."
    monkeypatch.setattr(collecting, "complete_each", complete_each)
    result = simulate(SimulationPlan(rankings=4, short_share=0))
    assert (result["left_out_replies"], result["cut_replies"]) == (8, 0)
    assert set(Completion.objects.values_list("text", flat=True)) == {"One.", "Three."}
    assert {row.parameters["left_out"] for row in Completion.objects.all()} == {2}
    assert {prompt[0]["content"] for prompt in asked} == {"Answer in one sentence."}
    assert {row.parameters["system_prompt"] for row in Completion.objects.all()} == {"Answer in one sentence."}
