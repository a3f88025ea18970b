"""`python -m tests.browser.icons`: draws the icons of the installed site from static/sparrow.svg, as PNG."""

from pathlib import Path

from tests.browser.chromium import started

STATIC = Path(__file__).resolve().parents[2] / "static"
PAPER = "#faf6f0"
ICONS = {
    "icon-192.png": (192, 0.92, "transparent"),
    "icon-512.png": (512, 0.92, "transparent"),
    "maskable-512.png": (512, 0.62, PAPER),  # a mask may cut away all but the inner 80 %
    "touch-180.png": (180, 0.74, PAPER),
}
"""By name: the edge in pixels, the share of it that the sparrow takes, and what is behind it."""


def page_of(size, share, background):
    edge = round(size * share)
    drawing = (STATIC / "sparrow.svg").read_text().replace("<svg ", f'<svg width="{edge}" height="{edge}" ', 1)
    style = f"margin:0;width:{size}px;height:{size}px;display:grid;place-items:center;background:{background}"
    return f'<!doctype html><body style="{style}">{drawing}</body>'


def main():
    target = STATIC / "app"
    target.mkdir(exist_ok=True)
    with started() as browser:
        for name, (size, share, background) in ICONS.items():
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(page_of(size, share, background))
            page.screenshot(path=target / name, omit_background=background == "transparent")
            page.close()


if __name__ == "__main__":
    main()
