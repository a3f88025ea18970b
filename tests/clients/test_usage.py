"""Usage and costs of the site, asked by today's client with an admin's key."""

import pytest

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", ["usage_counts_what_was_asked", "pages_go_on", "costs_are_exact"])
def test_a_program_of_an_admin_runs(new, keys, site, name):
    ids = "from accounts.models import ApiKey; print(*(f'key_{k.pk}' for k in ApiKey.objects.exclude(name='admin')))"
    others = site.manage("shell", "--verbosity", "0", "-c", ids).strip()
    new.program("today_usage.py", name, OPENAI_API_KEY=keys["admin"], OTHER_KEYS=others)
