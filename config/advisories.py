"""Known advisories on what requirements.lock holds: `python -m config.advisories`, in `make lint`."""

import subprocess
import sys
import urllib.request
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements.lock"
PROBE = "https://pypi.org/pypi/django/5.2/json"
"""One release's advisories. Mirrors of the index seldom have them."""
PATIENCE_S = 10


def _are_reached() -> bool:
    try:
        with urllib.request.urlopen(PROBE, timeout=PATIENCE_S) as answer:
            return b'"vulnerabilities"' in answer.read()
    except OSError:
        return False


def main() -> int:
    if not _are_reached():
        sys.stdout.write("Advisories cannot be reached from here: requirements.lock was not held against them.\n")
        return 0
    audit = [sys.executable, "-m", "pip_audit", "--progress-spinner=off", "--no-deps", "--disable-pip"]
    return subprocess.run([*audit, "--strict", "-r", str(LOCK)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
