"""Loads the rules and prompts that every site starts with. Idempotent: what people edited stays as it is."""

import json
from pathlib import Path
from typing import Any

from django.db import transaction

from feedback.models import Prompt, Rule, RuleVersion
from feedback.prompts import digest
from feedback.splits import add_seeds

HERE = Path(__file__).parent
EVERYDAY = "everyday"


@transaction.atomic
def load() -> dict[str, int]:
    """Adds what is missing; returns how many rules and prompts are new."""
    return {"rules": _load_rules(), "prompts": _load_prompts()}


def _load_rules() -> int:
    known = set(Rule.objects.values_list("key", flat=True))
    made = 0
    for position, seed in enumerate(read("rules.json"), start=1):
        if seed["key"] in known:
            continue
        rule = Rule.objects.create(
            key=seed["key"], group=seed["group"], position=position, is_on=seed.get("is_on", True)
        )
        RuleVersion.objects.create(
            rule=rule,
            number=1,
            name_en=seed["name"]["en"],
            name_ko=seed["name"]["ko"],
            text_en=seed["text"]["en"],
            text_ko=seed["text"]["ko"],
            allowed_examples=seed["allowed"],
            violating_examples=seed["violating"],
        )
        made += 1
    return made


def _load_prompts() -> int:
    rules = {rule.key: rule for rule in Rule.objects.all()}
    known = set(Prompt.objects.values_list("sha256", flat=True))
    rows = []
    for split, key, language, text in _seed_prompts():
        messages = [{"role": "user", "content": text}]
        sha256 = digest(messages)
        if sha256 not in known:
            rows.append(
                Prompt(
                    messages=messages,
                    sha256=sha256,
                    source=Prompt.Source.SEED,
                    split=split,
                    elicits=rules.get(key),
                    language=language,
                )
            )
    add_seeds(rows)
    return len(rows)


def _seed_prompts() -> list[tuple[str, str, str, str]]:
    """(split, key of the rule that the prompt tempts to break, or `everyday`, language, text)."""
    seeds = read("prompts.json")
    english = [
        (split, key, "en", text)
        for split in (Prompt.Split.TRAIN, Prompt.Split.HELD_OUT)
        for key, texts in seeds[split].items()
        for text in texts
    ]
    korean = [(split, EVERYDAY, "ko", text) for split, texts in seeds["ko"].items() for text in texts]
    return english + korean


def read(name: str) -> Any:
    return json.loads((HERE / name).read_text(encoding="utf-8"))
