"""Demo accounts: one a role, made once, and never outside a demo."""

import pytest

from accounts import demo
from accounts.models import User
from accounts.roles import ABOVE, Role

pytestmark = pytest.mark.django_db


def test_one_account_a_role(settings):
    settings.DEMO = True
    demo.create_accounts()
    for role in (Role.CHATTER, Role.ANNOTATOR, Role.MODERATOR, Role.ADMIN):
        assert User.objects.get(username=role.value).roles() == ABOVE[role]


def test_making_them_again_changes_nothing(settings):
    settings.DEMO = True
    demo.create_accounts()
    user = User.objects.get(username="chatter")
    user.set_password("a password of one's own")
    user.save()
    assert len(demo.create_accounts()) == User.objects.count() == 4
    user.refresh_from_db()
    assert user.check_password("a password of one's own")


def test_refused_outside_a_demo(settings):
    settings.DEMO = False
    with pytest.raises(demo.DemoRefused):
        demo.create_accounts()
    assert not User.objects.exists()


def test_the_sign_in_page_names_them_in_a_demo_only(client, settings):
    settings.DEMO = True
    page = client.get("/sign-in/").content.decode()
    assert all(f'data-demo="{account.name}"' in page for account in demo.ACCOUNTS)
    settings.DEMO = False
    assert settings.DEMO_PASSWORD not in client.get("/sign-in/").content.decode()
