"""Whose models a person may talk with, how one is chosen for a conversation, and what happens when it goes."""

import json
from dataclasses import replace

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import User
from chat import assistants, model_choice, policies, site_choices
from chat.conversations import side_by_side
from chat.conversations.answerer import answerer_of
from chat.conversations.turns import take_turn
from chat.models import Assistant, Conversation, Message, Policy, Reply

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob():
    return User.objects.create_user("bob", password="not the demo one")


@pytest.fixture
def admin():
    return User.objects.create_user("admin", password="not the demo one", is_superuser=True)


@pytest.fixture
def group(bob):
    class_a = Group.objects.create(name="class a")
    bob.groups.add(class_a)
    return class_a


@pytest.fixture
def models(alice, scripted_policy, group):
    """By name: the live one, one of Alice's, one that she lets a group use, one of the group's, and lost ones."""

    def make(version, **fields):
        return Policy.objects.create(name=f"ft-{version}", version=version, is_scripted=True, **fields)

    return {
        "live": scripted_policy,
        "mine": make(2, owner=alice, label="davinci:ft-mine"),
        "lent": make(3, owner=alice, group=group),
        "orphan": make(4, group=group),
        "gone": make(5, owner=alice, retired_at=timezone.now()),
        "left": make(6, label="davinci:ft-of-somebody-who-left"),
    }


def names_of(person, models):
    seen = set(policies.visible_to(person))
    return {name for name, policy in models.items() if policy in seen}


def test_everybodys_ones_own_and_those_of_ones_groups_are_seen_and_an_admin_sees_all(alice, bob, admin, models):
    assert names_of(alice, models) == {"live", "mine", "lent"}
    assert names_of(bob, models) == {"live", "lent", "orphan"}
    assert names_of(admin, models) == {"live", "mine", "lent", "orphan", "left"}
    assert set(policies.for_everybody()) == {models["live"]}
    Policy.objects.update(is_live=False)
    Policy.objects.filter(pk=models["mine"].pk).update(is_live=True)
    assert names_of(bob, models) == {"live", "mine", "lent", "orphan"}, "it answers everybody now"
    assert set(policies.for_everybody()) == {models["live"]}
    assert len(policies.visible_to(bob)) == len(names_of(bob, models)), "each once"


def test_the_picker_offers_the_live_one_first_then_ones_own_and_hides_the_one_on_trial(alice, admin, models):
    trial = Policy.objects.create(name="trial", version=9, is_on_trial=True)
    offered = [(choice.name, choice.is_own) for choice in model_choice.options_for(alice)]
    assert offered == [("scripted", False), ("ft-3", True), ("davinci:ft-mine", True)]
    assert trial not in [choice.policy for choice in model_choice.options_for(admin)]
    Policy.objects.filter(pk=trial.pk).update(owner=alice)
    assert "trial" in [choice.name for choice in model_choice.options_for(alice)]


def test_the_chosen_model_answers_and_where_it_is_lost_the_assistants_or_the_live_one(alice, conversation, models):
    named = Assistant.objects.create(owner=alice, name="Poet", policy=models["lent"])
    assert answerer_of(conversation).policy is None
    assistants.choose(conversation, named)
    assert answerer_of(conversation).policy == models["lent"]
    model_choice.choose(conversation, models["mine"])
    assert answerer_of(conversation).policy == models["mine"]
    Policy.objects.filter(pk=models["mine"].pk).update(retired_at=timezone.now())
    assert answerer_of(conversation).policy == models["lent"]
    assistants.choose(conversation, None)
    assert answerer_of(conversation).policy is None


def test_a_reply_under_way_keeps_its_model_when_another_is_chosen(alice, conversation, models):
    model_choice.choose(conversation, models["mine"])
    _, reply = take_turn(conversation, "Hi", "k1", None)
    other = Conversation.objects.create(owner=alice)
    _, live = take_turn(other, "Hi", "k1", None)
    model_choice.choose(conversation, None)
    assert [Reply.objects.get(pk=row.pk).policy for row in (reply, live)] == [models["mine"], None]


def test_who_is_no_longer_in_the_group_talks_with_its_model_no_more(bob, group, models):
    room = Conversation.objects.create(owner=bob, policy=models["lent"])
    assert answerer_of(room).policy == models["lent"]
    bob.groups.remove(group)
    assert answerer_of(room).policy is None


# --- pages --------------------------------------------------------------------------------------------------------


def post(client, room, model, **options):
    return client.post(f"/c/{room.pk}/model/", {"model": model}, headers={"accept": "application/json"}, **options)


def test_a_model_is_chosen_for_a_conversation_by_its_owner_among_those_they_see(client, alice, bob, models):
    client.force_login(alice)
    room = Conversation.objects.create(owner=alice)
    assert post(client, room, "ft-2").json() == {"model": "ft-2"}
    room.refresh_from_db()
    assert room.policy == models["mine"]
    for unknown in ("ft-4", "ft-5", "nothing"):
        assert post(client, room, unknown).status_code == 404
    assert post(client, room, "").json() == {"model": ""}
    room.refresh_from_db()
    assert room.policy is None
    assert client.post(f"/c/{room.pk}/model/", {"model": "ft-3"}).status_code == 302
    client.force_login(bob)
    assert post(client, room, "ft-3").status_code == 404
    room.refresh_from_db()
    assert room.policy == models["lent"]


def test_the_page_marks_ones_own_and_says_which_model_is_lost(client, alice, models):
    client.force_login(alice)
    room = Conversation.objects.create(owner=alice, policy=models["mine"])
    page = client.get(f"/c/{room.pk}/").content.decode()
    assert (
        '<option value="ft-2" data-name="davinci:ft-mine" data-warning="" selected>davinci:ft-mine (yours)</option>'
        in page
    )
    assert "Live: scripted" in page
    Policy.objects.filter(pk=models["mine"].pk).update(retired_at=timezone.now())
    page = client.get(f"/c/{room.pk}/").content.decode()
    assert "The model “davinci:ft-mine” has been deleted" in page
    assert "selected>davinci" not in page
    page = client.get(f"/c/{room.pk}/", headers={"accept-language": "ko"}).content.decode()
    assert "“davinci:ft-mine” 모델이 삭제되어 다른 모델이 답합니다." in page


def test_a_new_conversation_is_made_with_the_model_that_was_asked_for(client, alice, models):
    client.force_login(alice)
    assert (
        '<option value="ft-2" data-name="davinci:ft-mine" data-warning="" selected>'
        in client.get("/?model=ft-2").content.decode()
    )
    assert "selected>ft-4" not in client.get("/?model=ft-4").content.decode()
    made = client.post("/conversations/new/", {"text": "Hi", "model": "ft-2"}, headers={"accept": "application/json"})
    assert Conversation.objects.get(pk=made.json()["id"]).policy == models["mine"]
    assert client.post("/conversations/new/", {"text": "Hi", "model": "ft-4"}).status_code == 404


def test_the_meter_counts_with_the_chosen_model(client, alice, tiny_policy, scripted_policy):
    from tests.chat.policies import install

    tiny = install(tiny_policy, "tiny-chosen")
    client.force_login(alice)
    room = Conversation.objects.create(owner=alice, policy=tiny)
    assert client.post("/context/", {"text": "Hi", "conversation": room.pk}).json()["is_exact"]
    assert client.post("/context/", {"text": "Hi", "model": "tiny-chosen"}).json()["is_exact"]
    assert not client.post("/context/", {"text": "Hi"}).json()["is_exact"]


def test_an_assistant_for_everybody_names_nobodys_own_model(client, admin, alice, models):
    client.force_login(admin)
    sent = {"name": "Tutor", "is_shared": "on", "policy": models["mine"].pk}
    refused = client.post("/assistants/new/", sent)
    assert refused.status_code == 400
    assert "only use a model that everybody can use" in refused.content.decode()
    assert client.post("/assistants/new/", sent | {"policy": models["live"].pk}).status_code == 302
    client.force_login(alice)
    assert client.post("/assistants/new/", {"name": "Poet", "policy": models["orphan"].pk}).status_code == 400
    assert client.post("/assistants/new/", {"name": "Poet", "policy": models["mine"].pk}).status_code == 302


def test_the_form_of_an_assistant_knows_every_way_of_sampling(client, alice, scripted_policy):
    client.force_login(alice)
    given = {"top_k": "40", "presence_penalty": "0.5", "frequency_penalty": "-1"}
    assert client.post("/assistants/new/", {"name": "Poet", **given}).status_code == 302
    made = Assistant.objects.get()
    assert made.parameters == {"top_k": 40, "presence_penalty": 0.5, "frequency_penalty": -1.0}
    assert assistants.parameters_of(made).top_k == 40
    assert client.post("/assistants/new/", {"name": "Poet", "frequency_penalty": "2.1"}).status_code == 400


# --- a first message that may not be sent -------------------------------------------------------------------------


def test_a_first_message_that_is_blocked_makes_no_conversation_and_leaves_no_title(client, alice, settings):
    settings.CHAT_GUARDS = ["tests.chat.completions.test_streaming.NoCats"]
    client.force_login(alice)
    refused = client.post("/conversations/new/", {"text": "My cat"}, headers={"accept": "application/json"})
    assert refused.status_code == 400
    assert json.loads(refused.content)["code"] == "blocked"
    assert "blocked by a rule" in refused.json()["message"]
    plain = client.post("/conversations/new/", {"text": "My cat"}, follow=True)
    assert "blocked by a rule" in plain.content.decode()
    assert not Conversation.objects.exists()
    assert client.post("/conversations/new/", {"text": ""}).status_code == 302


def test_a_first_message_that_is_refused_for_another_reply_leaves_nothing_behind(client, alice, models, settings):
    settings.CHAT_REPLIES_PER_USER = 1
    client.force_login(alice)
    as_script = {"headers": {"accept": "application/json"}}
    made = client.post("/conversations/new/", {"text": "Hi,\r\nyou", "key": "k1"}, **as_script)
    assert made.status_code == 201
    assert Message.objects.get(role="user").text == "Hi,\nyou", "a form sends line breaks in a way of its own"
    again = take_turn(Conversation.objects.get(), "Hi,\nyou", "k1", None)
    assert again[0] == Message.objects.get(role="user"), "the socket sends the same key"
    refused = client.post("/conversations/new/", {"text": "And this?", "key": "k2"}, **as_script)
    assert (refused.status_code, refused.json()["code"]) == (400, "too_many_replies")
    assert Conversation.objects.count() == 1
    assert Message.objects.count() == 2


# --- pairs --------------------------------------------------------------------------------------------------------


def test_a_site_with_one_place_for_models_shows_no_pair_with_the_one_on_trial(alice, conversation, models, settings):
    site_choices.change(alice, side_by_side_percent=100)
    conversation.may_train = True
    question = Message.objects.create(conversation=conversation, role="user", text="Hi")
    anybody = answerer_of(conversation)
    settings.CHAT_ENGINES = 1
    Policy.objects.filter(pk=models["lent"].pk).update(is_on_trial=True)
    assert len(side_by_side.queue_replies(question, anybody)) == 1
    Reply.objects.all().update(state="complete")
    Policy.objects.update(is_on_trial=False)
    assert len(side_by_side.queue_replies(question, anybody)) == 2, "twice from the live one"
    Reply.objects.all().update(state="complete")
    other = Message.objects.create(conversation=conversation, role="user", text="Hi")
    assert len(side_by_side.queue_replies(other, replace(anybody, policy=models["mine"]))) == 1


def test_a_reply_is_signed_by_what_its_maker_called_the_model(client, alice, conversation, models):
    from chat.websocket.tail import end_of, look

    question = Message.objects.create(conversation=conversation, role="user", text="Hi")
    said = Message.objects.create(conversation=conversation, parent=question, role="assistant", text="Hello")
    reply = Reply.objects.create(message=said, state="complete", policy=models["mine"], last_seq=0)
    wanted = ("davinci:ft-mine", 2, False)
    state = look({reply.pk: ["en"]}, {reply.pk}, {}, 0).states[reply.pk]
    assert (state.policy, end_of(reply).policy) == (wanted, wanted)
    client.force_login(alice)
    assert "davinci:ft-mine · v2" in client.get(f"/c/{conversation.pk}/").content.decode()
