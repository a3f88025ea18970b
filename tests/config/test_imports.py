"""Who may import whom: the table of the contributors' guide, held against the code and against running processes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = "import config.asgi; from django.urls import get_resolver; get_resolver().url_patterns"
WORKER = (
    "from config.celery import app; app.loader.import_default_modules(); assert 'rlhf.tasks.reap_runs' in app.tasks"
)
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")


def test_the_layers_hold():
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists() and not shutil.which("lint-imports"):
        pytest.skip("import-linter is not installed")
    done = subprocess.run([str(tool), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("program", [WEB, WORKER], ids=["web", "worker"])
def test_no_torch_in_the_web_process_or_the_worker(program):
    show = f"import sys; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", f"{program}; {show}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_numeric_core_loads_without_django():
    files = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "rlhf/training").rglob("*.py")]
    modules = [".".join(file.parts) for file in files if not file.name.startswith("__")]
    program = f"import importlib, sys; [*map(importlib.import_module, {modules!r})]; print('django' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "False"
