"""The pages of assistants and of the site's choices."""

import re

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from chat import site_choices
from chat.models import Assistant, Conversation, Policy

pytestmark = pytest.mark.django_db
FORM = {"name": "Poet", "description": "Rhymes", "system_prompt": "Answer in rhymes."}


@pytest.fixture
def as_alice(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def bob():
    return User.objects.create_user("bob", password="not the demo one")


@pytest.fixture
def admin():
    admin = User.objects.create_user("admin", password="not the demo one")
    admin.groups.add(Group.objects.get_or_create(name="admin")[0])
    return admin


@pytest.fixture
def poet(alice):
    return Assistant.objects.create(owner=alice, name="Poet", system_prompt="Answer in rhymes.")


@pytest.fixture
def shared(admin):
    return Assistant.objects.create(owner=admin, name="Tutor", system_prompt="Explain.", is_shared=True)


def address(name, of=None):
    return reverse(name, args=[of.pk] if of else [])


# --- making and editing -------------------------------------------------------------------------------------------


def test_an_assistant_is_made_with_all_that_it_is(as_alice, alice, scripted_policy):
    sent = FORM | {
        "example_user": ["What is a star?", ""],
        "example_assistant": ["A sun,\r\nfar off.", ""],
        "temperature": "0.2",
        "top_p": "0.9",
        "max_completion_tokens": "64",
        "seed": "7",
        "stop": "END\r\n###",
        "policy": scripted_policy.pk,
    }
    assert as_alice.post(address("assistant_create"), sent).status_code == 302
    made = Assistant.objects.get()
    assert (made.owner, made.name, made.system_prompt, made.policy) == (
        alice,
        "Poet",
        "Answer in rhymes.",
        scripted_policy,
    )
    assert made.examples == [{"user": "What is a star?", "assistant": "A sun,\nfar off."}]
    assert made.parameters == {
        "temperature": 0.2,
        "top_p": 0.9,
        "max_completion_tokens": 64,
        "seed": 7,
        "stop": ["END", "###"],
    }


def test_what_is_left_empty_stays_the_site_s(as_alice):
    as_alice.post(address("assistant_create"), FORM | {"temperature": "0", "top_p": "", "seed": ""})
    assert Assistant.objects.get().parameters == {"temperature": 0.0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "x" * 61),
        ("temperature", "2.1"),
        ("temperature", "nan"),
        ("temperature", "warm"),
        ("top_p", "0"),
        ("max_completion_tokens", "0"),
        ("max_completion_tokens", "1000000"),
        ("seed", "-1"),
        ("seed", str(2**32 - 1)),
        ("stop", "1\n2\n3\n4\n5"),
        ("stop", "x" * 101),
        ("system_prompt", "x" * 8001),
        ("policy", "999"),
        ("example_user", "A question without an answer"),
    ],
)
def test_what_cannot_be_is_said_at_its_field_and_nothing_is_lost(as_alice, field, value):
    sent = FORM | {"example_user": "Kept question", "example_assistant": ""} | {field: value}
    if field != "example_user":
        sent["example_assistant"] = "Kept answer"
    answer = as_alice.post(address("assistant_create"), sent)
    assert answer.status_code == 400
    assert not Assistant.objects.exists()
    assert 'aria-invalid="true"' in answer.text or 'role="alert"' in answer.text
    assert (sent["example_user"]) in answer.text


def test_an_example_that_lacks_a_side_is_marked_and_has_the_focus(as_alice):
    sent = FORM | {"example_user": ["One", "Two", "Three"], "example_assistant": ["1", "", ""]}
    page = as_alice.post(address("assistant_create"), sent).text
    first, second, third = page.split("<template")[0].split('<li class="example')[1:]
    assert "aria-invalid" not in first
    for number, row in ((2, second), (3, third)):
        assert f"One side of example {number} is empty" in row
        assert row.count('aria-invalid="true"') == 2
    assert re.search(r'name="example_assistant"[^>]* autofocus', second)
    assert page.count("autofocus") == 1


def test_sampling_is_folded_until_something_of_it_is_set(as_alice):
    folded = '<details id="sampling"><summary>'
    assert folded in as_alice.get(address("assistant_create")).text
    assert folded not in as_alice.post(address("assistant_create"), FORM | {"temperature": "9"}).text


def test_rows_are_added_and_removed_without_script_and_without_saving(as_alice):
    sent = {"name": "", "example_user": ["One", "Two"], "example_assistant": ["1", "2"]}
    added = as_alice.post(address("assistant_create"), sent | {"add": "1"})
    assert added.status_code == 200
    assert len(added.context["rows"]) == 3
    assert 'role="alert"' not in added.text
    removed = as_alice.post(address("assistant_create"), sent | {"remove": "0"})
    assert [row.user for row in removed.context["rows"]] == ["Two"]
    assert not Assistant.objects.exists()


@pytest.mark.parametrize("index", ["2", "-1", "x", ""])
def test_a_row_that_is_not_there_is_not_removed(as_alice, index):
    sent = {"name": "", "example_user": ["One", "Two"], "example_assistant": ["1", "2"], "remove": index}
    assert len(as_alice.post(address("assistant_create"), sent).context["rows"]) == 2


def test_more_examples_than_allowed_are_refused(as_alice):
    many = ["x"] * 21
    answer = as_alice.post(address("assistant_create"), FORM | {"example_user": many, "example_assistant": many})
    assert answer.status_code == 400


def test_an_edit_shows_what_there_is_and_changes_it(as_alice, poet):
    poet.examples, poet.parameters = [{"user": "Q", "assistant": "A"}], {"temperature": 0.0, "stop": ["END"]}
    poet.save()
    shown = as_alice.get(address("assistant", poet))
    assert shown.context["rows"][0].assistant == "A"
    assert shown.context["form"]["temperature"].value() == 0.0
    assert as_alice.post(address("assistant", poet), FORM | {"name": "Bard"}).status_code == 302
    poet.refresh_from_db()
    assert (poet.name, poet.examples, poet.parameters) == ("Bard", [], {})


def test_a_version_that_is_gone_is_said(as_alice, poet):
    poet.policy = Policy.objects.create(name="older", version=1, retired_at=timezone.now())
    poet.save()
    assert "Version older, which it uses, has been deleted" in as_alice.get(address("assistant", poet)).text


def test_markup_in_a_name_is_text(as_alice, poet):
    Assistant.objects.filter(pk=poet.pk).update(name="<img src=x onerror=alert(1)>")
    for page in (address("assistants"), address("assistant", poet), address("home")):
        assert "<img src=x" not in as_alice.get(page).text


# --- whose ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["assistant", "assistant_duplicate", "assistant_delete", "assistant_restore"])
def test_a_stranger_s_assistant_is_not_there(client, bob, poet, name):
    client.force_login(bob)
    assert client.post(address(name, poet), FORM).status_code == 404
    poet.refresh_from_db()
    assert poet.deleted_at is None


def test_what_is_for_everybody_can_be_read_and_copied_but_not_changed(as_alice, alice, shared):
    page = as_alice.get(address("assistant", shared))
    assert "Explain." in page.text
    assert "<textarea" not in page.text
    assert as_alice.post(address("assistant", shared), FORM).status_code == 403
    assert as_alice.post(address("assistant_delete", shared)).status_code == 403
    shared.refresh_from_db()
    assert (shared.name, shared.deleted_at) == ("Tutor", None)
    as_alice.post(address("assistant_duplicate", shared))
    copy = Assistant.objects.get(owner=alice)
    assert (copy.name, copy.system_prompt, copy.is_shared) == ("Copy of Tutor", "Explain.", False)


def test_only_an_admin_makes_one_for_everybody(as_alice, client, admin):
    as_alice.post(address("assistant_create"), FORM | {"is_shared": "on"})
    assert not Assistant.objects.get().is_shared
    client.force_login(admin)
    client.post(address("assistant_create"), FORM | {"name": "For all", "is_shared": "on"})
    assert Assistant.objects.get(name="For all").is_shared
    assert AuditEntry.objects.get().verb == "assistant.create"


def test_another_admin_edits_what_is_shared(client, shared):
    other = User.objects.create_superuser("other", password="not the demo one")
    client.force_login(other)
    client.post(address("assistant", shared), FORM | {"name": "Better tutor", "is_shared": "on"})
    shared.refresh_from_db()
    assert shared.name == "Better tutor"
    assert AuditEntry.objects.get().actor == other


def test_a_deleted_one_comes_back(as_alice, poet):
    answer = as_alice.post(address("assistant_delete", poet))
    page = as_alice.get(answer["Location"])
    assert address("assistant_restore", poet) in page.text
    assert as_alice.get(address("assistant", poet)).status_code == 404
    as_alice.post(address("assistant_restore", poet))
    poet.refresh_from_db()
    assert poet.deleted_at is None


def test_nobody_fills_the_table(as_alice, alice, monkeypatch):
    monkeypatch.setattr("chat.assistants.MAX_OWN", 1)
    as_alice.post(address("assistant_create"), FORM)
    as_alice.post(address("assistant_create"), FORM)
    as_alice.post(address("assistant_duplicate", Assistant.objects.get()))
    assert Assistant.objects.count() == 1


# --- in a conversation --------------------------------------------------------------------------------------------


def test_a_conversation_is_made_with_its_assistant(as_alice, poet):
    made = as_alice.post(
        address("conversation_create"),
        {"text": "Hello", "assistant": poet.pk},
        headers={"Accept": "application/json"},
    )
    assert Conversation.objects.get(pk=made.json()["id"]).assistant == poet


def test_a_conversation_is_not_made_with_a_stranger_s(client, bob, poet):
    client.force_login(bob)
    answer = client.post(address("conversation_create"), {"text": "Hello", "assistant": poet.pk})
    assert answer.status_code == 404
    assert not Conversation.objects.exists()


def test_the_link_of_an_assistant_opens_an_empty_conversation_with_it(as_alice, poet):
    page = as_alice.get(f"/?assistant={poet.pk}")
    assert page.context["chosen_assistant"] == poet
    assert as_alice.get("/?assistant=nonsense").context["chosen_assistant"] is None


def test_another_assistant_is_chosen_later_or_none(as_alice, conversation, poet):
    as_json = {"Accept": "application/json"}
    answer = as_alice.post(address("conversation_assistant", conversation), {"assistant": poet.pk}, headers=as_json)
    assert answer.json() == {"assistant": str(poet.pk), "name": "Poet"}
    conversation.refresh_from_db()
    assert conversation.assistant == poet
    as_alice.post(address("conversation_assistant", conversation), {"assistant": ""}, headers=as_json)
    conversation.refresh_from_db()
    assert conversation.assistant is None


def test_a_stranger_s_assistant_cannot_be_chosen(client, bob, poet):
    client.force_login(bob)
    own = Conversation.objects.create(owner=bob)
    for bad in (poet.pk, "nonsense"):
        assert client.post(address("conversation_assistant", own), {"assistant": bad}).status_code == 404
    own.refresh_from_db()
    assert own.assistant is None


def test_a_conversation_whose_assistant_is_gone_says_so(as_alice, conversation, poet):
    conversation.assistant = poet
    conversation.save()
    as_alice.post(address("assistant_delete", poet))
    assert "Poet" in as_alice.get(address("conversation", conversation)).context["lost_assistant"].name


# --- the site's choices -------------------------------------------------------------------------------------------


def test_an_admin_chooses_for_the_site_and_changes_it_back(client, admin):
    client.force_login(admin)
    page = address("site_choices")
    client.post(page, {"side_by_side_percent": "25", "may_train_default": "yes", "best_of": "1"})
    assert (site_choices.get().side_by_side_percent, site_choices.get().may_train_default) == (25, True)
    client.post(page, {"side_by_side_percent": "0", "may_train_default": "", "best_of": "1"})
    assert (site_choices.get().side_by_side_percent, site_choices.get().may_train_default) == (0, None)
    assert AuditEntry.objects.filter(verb="choices.change", actor=admin).count() == 2
    assert "25" in client.get(page).text


@pytest.mark.parametrize("percent", ["101", "-1", "many", ""])
def test_a_share_that_is_none_is_refused(client, admin, percent):
    client.force_login(admin)
    answer = client.post(address("site_choices"), {"side_by_side_percent": percent, "may_train_default": "yes"})
    assert answer.status_code == 400
    assert site_choices.get().may_train_default is None


def test_nobody_else_chooses_for_the_site(as_alice):
    assert as_alice.post(address("site_choices"), {"side_by_side_percent": "25"}).status_code == 403
    assert site_choices.get().side_by_side_percent == 0
