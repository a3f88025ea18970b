"""Debian's Chromium, driven by Playwright, with an ear for what a page must not do."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.machine import chromium
from tests.site import Site

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEPT = ("sessionid", "csrftoken")
"""Cookies that a visit hands on to the next of the same person; the language is each visit's own."""
HEAR_CSP = """
document.addEventListener("securitypolicyviolation", e => console.error("CSP", e.violatedDirective, e.blockedURI));
"""


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """A person with a browser of their own."""

    site: Site
    context: BrowserContext
    page: Page
    wrong: list[str] = field(default_factory=list)
    """Errors on the console, violations of the content security policy, crashes, requests to foreign hosts."""

    def watch(self) -> None:
        self.context.add_init_script(HEAR_CSP)
        self.page.on("console", self.hear)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.context.on("request", lambda request: self.check_host(request.url))
        self.page.on("websocket", lambda socket: self.check_host(socket.url))

    def hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.wrong.append(f"{said.text} ({said.location['url']})")

    def check_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != f"127.0.0.1:{self.site.port}":
            self.wrong.append(f"request to {url}")

    def forgive(self, word: str) -> None:
        """What was wrong until now and says this was to be expected."""
        self.wrong[:] = [wrong for wrong in self.wrong if word not in wrong]

    def go(self, path: str) -> None:
        self.page.goto(self.site.url + path)

    def come_as(self, name: str) -> None:
        """With the session of an earlier visit where there is one: a browser that was closed and opened again."""
        if name in self.site.signed_in:
            self.context.add_cookies(self.site.signed_in[name])
            return
        self.sign_in(name)
        cookies = self.context.cookies()
        self.site.signed_in[name] = [cookie for cookie in cookies if cookie["name"] in KEPT]

    def sign_in(self, name: str) -> None:
        self.go("/sign-in/")
        self.page.fill("input[name=username]", name)
        self.page.fill("input[name=password]", "chamsae-demo")
        self.page.click("main form button.primary")
        self.page.wait_for_url(lambda url: "/sign-in/" not in url)


@contextlib.contextmanager
def visiting(browser: Browser, site: Site, name: str = "", **options: object) -> Iterator[Visitor]:
    usual = {"locale": "en-US", "viewport": {"width": 1280, "height": 800}, "base_url": site.url}
    options = {**usual, **options}
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(30_000)
    visitor = Visitor(site, context, context.new_page())
    visitor.watch()
    try:
        if name:
            visitor.come_as(name)
        yield visitor
    finally:
        context.close()
