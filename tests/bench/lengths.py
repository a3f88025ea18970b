"""`make bench ARGS="lengths"`: how long the replies are that the base writes to the site's own prompts.

For each system prompt, the site's own by default: the share of replies that end by themselves within so many tokens,
their end token included, and the fewest tokens within which nine in ten do. CHAMSAE_MAX_COMPLETION_TOKENS is to be
at least that.
"""

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

WITHIN = (32, 48, 64, 96, 128, 192, 256, 384)
SHARE = 0.9
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Lengths:
    """Of the replies with one system prompt."""

    system_prompt: str
    replies: int
    within: dict[int, float]
    """Share of replies that ended by themselves within so many tokens."""
    nine_in_ten: int | None
    """The fewest tokens within which so many end; None where they do not within the longest measured."""
    mean_tokens: float
    empty: int
    examples: list[str]


def summary(system_prompt: str, ended: Sequence[int | None], texts: Sequence[str], limit: int) -> Lengths:
    """`ended`: the tokens of each reply, its end token included; None where it was cut at `limit`."""
    known = sorted(tokens for tokens in ended if tokens is not None)
    needed = math.ceil(SHARE * len(ended))
    return Lengths(
        system_prompt,
        len(ended),
        {n: round(sum(tokens <= n for tokens in known) / len(ended), 3) for n in WITHIN if n <= limit},
        known[needed - 1] if len(known) >= needed else None,
        round(sum(limit if tokens is None else tokens for tokens in ended) / len(ended), 1),
        sum(not text.strip() for text in texts),
        list(texts),
    )


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="chamsae-lengths-") as home:
        os.environ |= {
            "CHAMSAE_HOME": home,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "CHAMSAE_LOG_LEVEL": "ERROR",
        }
        found = measure(options)
    if options.json:
        print(json.dumps([asdict(one) for one in found]))  # noqa: T201
    else:
        show(found, options.show)
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--system", action="append", metavar="TEXT", help="a system prompt (default: the site's)")
    parser.add_argument("--prompts", type=int, default=120, help="at most so many of the site's own prompts")
    parser.add_argument("--language", default="en")
    parser.add_argument("--draws", type=int, default=1, help="replies a prompt")
    parser.add_argument("--tokens", type=int, default=max(WITHIN), help="where a reply is cut")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0, metavar="N", help="so many replies of each system prompt, too")
    parser.add_argument("--json", action="store_true")
    home = Path(os.environ.get("CHAMSAE_HOME") or ROOT / "var")
    parser.add_argument("--policy", type=Path, help="policy directory (default: the first fetched one)")
    options = parser.parse_args(arguments)
    options.policy = options.policy or next((m.parent for m in sorted(home.glob("models/*/manifest.json"))), None)
    if options.policy is None:
        parser.error("no model was fetched (manage.py fetch_model)")
    return options


def measure(options: argparse.Namespace) -> list[Lengths]:
    """On a throw-away database, with an engine of its own."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    from chat import policies
    from config.throwaway import link_policy

    call_command("migrate", verbosity=0)
    copied = link_policy(options.policy, Path(settings.MODELS_DIR))
    policy = policies.register(copied, name="base", source="bench", base=None)
    prompts = site_prompts(options.language, options.prompts, options.seed)
    given = options.system if options.system is not None else [settings.CHAT_SYSTEM_PROMPT]
    return [replies_with(policy, one, prompts, options) for one in given]


def site_prompts(language: str, most: int, seed: int) -> list[str]:
    from feedback import seed as seeds

    texts = [text for _, _, spoken, text in seeds._seed_prompts() if spoken == language]
    random.Random(seed).shuffle(texts)
    return texts[:most]


def replies_with(policy, system_prompt: str, prompts: list[str], options: argparse.Namespace) -> Lengths:
    from django.conf import settings

    from chat.completions.bulk import complete_each
    from chat.engines.engine import Parameters
    from chat.prompts.history import renderer_of

    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages = [[*system, {"role": "user", "content": text}] for text in prompts]
    sampling = Parameters(
        temperature=settings.CHAT_TEMPERATURE, max_completion_tokens=options.tokens, seed=options.seed
    )
    started = time.monotonic()
    sets = dict(complete_each(policy, messages, n=options.draws, parameters=sampling))
    replies = [reply for index in sorted(sets) for reply in sets[index]]
    renderer = renderer_of(policy)
    ended = [
        None if reply.finish_reason == "length" else len(renderer.continuation(reply.text)) + 1 for reply in replies
    ]
    found = summary(system_prompt, ended, [reply.text for reply in replies], options.tokens)
    told = f"{len(replies)} replies in {time.monotonic() - started:.0f} s, 90 % end within {found.nine_in_ten}"
    print(f"{told}: {system_prompt or '(none)'}", file=sys.stderr)  # noqa: T201
    return found


def show(found: Sequence[Lengths], examples: int) -> None:
    table = Table(title="share of replies that end by themselves within so many tokens")
    table.add_column("system prompt", max_width=60)
    for column in (*map(str, WITHIN), "90 % within", "mean", "empty", "replies"):
        table.add_column(column, justify="right")
    for one in found:
        shares = [f"{one.within[n]:.2f}" if n in one.within else "-" for n in WITHIN]
        needed = str(one.nine_in_ten) if one.nine_in_ten else f"> {max(one.within, default=0)}"
        table.add_row(
            one.system_prompt or "(none)", *shares, needed, str(one.mean_tokens), str(one.empty), str(one.replies)
        )
    console = Console(width=160)
    console.print(table)
    for one in found[: len(found) if examples else 0]:
        console.print(f"\n{one.system_prompt or '(none)'}", markup=False)
        for text in one.examples[:examples]:
            console.print(f"- {text!r}", markup=False)
