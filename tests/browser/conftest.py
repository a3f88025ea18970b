"""A browser for the whole call, and visitors that end with a look at what went wrong on their pages."""

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import started, visiting
from tests.site import SCRIPTED, running_site

expect.set_options(timeout=15_000)  # a machine that runs several suites at once is granted time
PEOPLE = ("wren", "heron", "robin")
TALKING = (
    SCRIPTED
    + f"""
from accounts.models import User
for name in {PEOPLE}:
    User.objects.create_user(name, password="chamsae-demo")
from tests.browser.hostile import ranking_task
for number in range(3):
    texts = ["A rainbow is light.", "I feel rainbows.", "It is", "Rain and sun."]
    ranking_task(texts, f"What does sparrow {{number}} see?")
"""
)


@pytest.fixture(scope="session")
def talking_site(tmp_path_factory):
    """Canned text and tasks to rank, for all files of a worker that need no more; each has a person of its own."""
    home = tmp_path_factory.mktemp("site")
    settings = {
        "CHAMSAE_MESSAGES_PER_MINUTE": "1000",
        "CHAMSAE_RECORD_LOGPROBS": "5",
        "CHAMSAE_TASK_STOCK": "0",
        "CHAMSAE_SCORER": "tests.chat.choosing.scripted_source.ScriptedSource",
    }
    with running_site(home, program=TALKING, **settings) as site:
        yield site


@pytest.fixture(scope="session")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture
def visit(browser, request):
    """visit(site, "chatter") gives a signed-in visitor; whatever their pages did wrong fails the test at its end."""
    open_visits, visitors = [], []

    def enter(site, name="", **options):
        visit = visiting(browser, site, name, **options)
        open_visits.append(visit)
        visitors.append(visit.__enter__())
        return visitors[-1]

    yield enter
    for visit in open_visits:
        visit.__exit__(None, None, None)
    assert [wrong for visitor in visitors for wrong in visitor.wrong] == []
