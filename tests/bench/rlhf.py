"""`make bench-rlhf`: does the whole loop learn what people want? Simulated people, three seeds, several tastes.

For each seed and taste a reward model and a policy are trained on 200 rankings, and the policy is evaluated, by the
stages, hyperparameters and lengths of the demo. Each figure stands beside a target that was stated before the run,
and every miss is told with its figures. The annotators are programs; a tenth of their training judgements is wrong.

Shared between the tastes of a seed: the prompts, and the base's completions that are ranked. That is fair: the base
wrote them before anybody judged, so no taste can change them, and each taste meets them as it would meet another
draw. All that follows is each taste's own: judgements and their mistakes, reward model, policy, evaluation. The luck
of the draw is shared, so an average may be taken over seeds, not over tastes. "Hidden" are tastes that nothing in
training or tuning looked at; `finished-and-modest`, with which the defaults were tuned, is marked so.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.processes import end_with_parent
from feedback.preferences import DEFAULT_PREFERENCE, PREFERENCES, BadFunction, dotted, preference, violation_test
from tests.bench import rlhf_targets
from tests.bench.ppo import first_policy
from tests.bench.rlhf_tastes import TASTES

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("reward_model", "policy", "evaluation")
ABOUT_CONTENT = frozenset(TASTES)
OWN_RULE = "not-human"
"""The rule that a test without a rule's key stands for."""
RESULT = "result.json"
SITE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "CHAMSAE_SITE")


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    results: list[dict[str, Any]] = []
    cells = [(seed, taste) for seed in options.seeds for taste in options.tastes]
    for number, (seed, taste) in enumerate(cells, 1):
        say(f"seed {seed}, {taste} ({number} of {len(cells)})")
        results.append(cell(seed, taste, options))
        say_left(results, len(cells) - number)
    missed = rlhf_targets.misses(results)
    if options.json:
        checked = [{**result, "targets": rlhf_targets.checks(result)} for result in results]
        report = {"simulated": True, "results": checked, "missed": missed}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.stdout.write(rlhf_targets.render(results))
    return 1 if missed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rlhf", description=__doc__)
    home = Path(os.environ.get("CHAMSAE_HOME", ROOT / "var"))
    names = ", ".join([*PREFERENCES, *TASTES])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--tastes",
        nargs="+",
        default=[DEFAULT_PREFERENCE, "speaks-to-you", "plain-words"],
        metavar="TASTE",
        help=f"{names}, or module:function of (prompt, completion) -> score (default: %(default)s)",
    )
    parser.add_argument(
        "--content", nargs="+", default=[], metavar="TASTE", help="own tastes that are about content, not length"
    )
    parser.add_argument(
        "--rule", metavar="[KEY=]module:function", help="what breaks a rule, instead of the demo's tests; bool"
    )
    parser.add_argument("--rankings", type=int, default=200, metavar="N", help="a quarter held out (default 200)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="leave the last ones out")
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE", help="for a quick try")
    parser.add_argument("--policy", type=Path, help="policy directory (default: the first fetched one)")
    parser.add_argument("--work", type=Path, default=home / "bench" / "rlhf", help="where everything is kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all figures there as well")
    options = parser.parse_args(arguments)
    if options.stages != list(STAGES[: len(options.stages)]):
        parser.error(f"--stages must be the first of {', '.join(STAGES)}, in this order")
    try:
        for taste in (*options.tastes, *options.content):
            preference(spelling_of(taste))
        options.flags = flags_of(options.rule)
    except BadFunction as error:
        parser.error(str(error))
    options.set = dict(one.split("=", 1) for one in options.set)
    options.policy = (options.policy or first_policy(home / "models")).absolute()
    options.work = options.work.absolute()
    options.source = source_of(options.policy)
    return options


def source_of(policy: Path) -> str:
    """What it was fetched from, as CHAMSAE_MODEL spells it. Raises SystemExit."""
    try:
        return str(json.loads((policy / "manifest.json").read_text())["base"])
    except (OSError, KeyError) as error:
        raise SystemExit(f"{policy} is no policy directory that fetch_model made ({error})") from None


def spelling_of(taste: str) -> str:
    """As the site takes it: the tastes that come with the bench are anybody's functions to it."""
    return dotted(TASTES[taste]) if taste in TASTES else taste


def flags_of(rule: str | None) -> dict[str, str] | None:
    """{rule's key: test}; None: those of the demo. Raises BadFunction."""
    if rule is None:
        return None
    key, equals, path = rule.rpartition("=")
    violation_test(path)
    return {key if equals else OWN_RULE: path}


def cell(seed: int, taste: str, options: argparse.Namespace) -> dict[str, Any]:
    """The result of a seed and a taste: the one that is kept, or a new one."""
    given = order(seed, taste, options)
    home = options.work / f"seed-{seed}" / name_of(taste, given)
    kept = home / RESULT
    if kept.exists() and set(options.stages) <= set(found := json.loads(kept.read_text())):
        say(f"  kept in {home}")
        return {key: value for key, value in found.items() if key not in STAGES or key in options.stages}
    if not home.exists():
        copy_home(collected(seed, options), home)
    result = {
        "simulated": True,
        "seed": seed,
        "taste": taste,
        "about_content": taste in ABOUT_CONTENT or taste in options.content,
        "seen_before": taste == DEFAULT_PREFERENCE,
        **run_child("learn", home, given),
    }
    write(kept, result)
    return result


def order(seed: int, taste: str, options: argparse.Namespace) -> dict[str, Any]:
    """What the child process is told."""
    given: dict[str, Any] = {"seed": seed, "rankings": options.rankings, "stages": options.stages}
    given["policy"] = options.source
    if taste:
        given |= {"preference": spelling_of(taste), "flags": options.flags}
    if options.set:
        given["set"] = options.set
    return given


def name_of(taste: str, given: Mapping[str, Any]) -> str:
    """A directory for each order: with other rankings, rules or settings it is another one."""
    decides = {key: value for key, value in given.items() if key != "stages"}
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:8]
    return f"{taste.replace(':', '.')}-{digest}"


def collected(seed: int, options: argparse.Namespace) -> Path:
    """The home that holds the base's completions of this seed, unjudged."""
    given = order(seed, "", options)
    home = options.work / f"seed-{seed}" / name_of("collected", given)
    if not (home / RESULT).exists():
        say("  sampling the base's completions, once for all tastes of this seed")
        if not home.exists():
            draft = home.with_name(f"tmp-{home.name}")
            shutil.rmtree(draft, ignore_errors=True)
            link_policy(options.policy, draft / "models")
            draft.replace(home)
        write(home / RESULT, run_child("collect", home, given))
    return home


def copy_home(source: Path, target: Path) -> None:
    """Appears whole or not at all."""
    draft = target.with_name(f"tmp-{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for database in source.glob("*.sqlite3*"):
        shutil.copy2(database, draft / database.name)
    for policy in (source / "models").iterdir():
        if policy.is_dir():
            link_policy(policy, draft / "models")
    draft.replace(target)


def link_policy(source: Path, models: Path) -> None:
    from config import throwaway

    models.mkdir(mode=0o700, parents=True, exist_ok=True)
    throwaway.link_policy(source, models)


def run_child(what: str, home: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """A process in that home; its last line of output is its result. Raises SystemExit."""
    passed_on = {name: value for name, value in os.environ.items() if name not in SITE_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.rlhf_cell", what, json.dumps(given)],
        cwd=ROOT,
        env={**defaults(), **passed_on, "CHAMSAE_HOME": str(home), "CHAMSAE_MODEL": given["policy"]},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=end_with_parent,
    )
    if done.returncode:
        raise SystemExit(f"{what} in {home} ended with {done.returncode}; called again, the bench goes on from there")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def defaults() -> dict[str, str]:
    """Settings where the caller has no others. Nobody chats here, so a training need not wait for idle cores."""
    niceness = str(max(0, os.nice(0)))
    return {"CHAMSAE_DEBUG": "1", "CHAMSAE_MINIMUM_RANKINGS": "1", "CHAMSAE_TRAIN_NICENESS": niceness}


def write(path: Path, value: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(value, indent=1))
    draft.replace(path)


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def say_left(results: list[dict[str, Any]], left: int) -> None:
    seconds = list(_seconds(results))
    minutes = sum(seconds) / len(seconds) / 60
    say(f"  its stages took {seconds[-1] / 60:.1f} minutes; {left} left, about {left * minutes:.0f} minutes")


def _seconds(results: list[dict[str, Any]]) -> Iterator[float]:
    for result in results:
        yield sum(result["stage_seconds"].values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
