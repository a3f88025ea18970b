"""What runs before a commit is what `make lint` runs."""

import re

import yaml

from tests.site import ROOT


def lines_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    said = recipe.replace("$(PY)", ".venv/bin/python").replace("$(VENV)", ".venv")
    return [line.strip() for line in said.splitlines()]


def hooks():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    return [(repository["repo"], hook) for repository in config["repos"] for hook in repository["hooks"]]


def test_hooks_and_make_lint_run_the_same():
    assert [hook["entry"] for _, hook in hooks()] == lines_of_make_lint()


def test_hooks_need_nothing_from_elsewhere():
    assert {repository for repository, _ in hooks()} == {"local"}
    assert {hook["language"] for _, hook in hooks()} == {"system"}
