"""OpenAI's own clients, of 2023 and of today, each in a virtual environment, and a running site for them."""

import json

import pytest

from tests.clients.openai_client import SETTINGS, Client, environment
from tests.site import running_site

SLOW = {"seconds_a_token": 0.05, "tokens": 2000}
PROGRAM = f"""
import json
from chat.models import Policy
if not Policy.objects.exists():
    Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True)
    Policy.objects.create(name="slow", version=2, is_scripted=True, source=json.dumps({SLOW}))
    Policy.objects.create(name="broken", version=3, is_scripted=True, source=json.dumps({{"fail_after": 0}}))
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("clients"), program=PROGRAM, **SETTINGS) as site:
        yield site


@pytest.fixture(scope="session")
def keys(site):
    """A key of an ordinary person, one of an admin, and one that is always answered 429."""
    made = {
        "person": ["chatter"],
        "admin": ["admin", "--admin"],
        "limited": ["chatter", "--requests-per-minute", "0"],
    }
    command = ("create_api_key", "--json", "--name")
    return {name: json.loads(site.manage(*command, name, *words))["key"] for name, words in made.items()}


@pytest.fixture(scope="session")
def old(site, keys):
    return Client(site, environment("old"), keys["person"])


@pytest.fixture(scope="session")
def new(site, keys):
    return Client(site, environment("new"), keys["person"])
