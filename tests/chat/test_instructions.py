"""A person's own instructions: before which replies they stand, who counts them, and who never reads them."""

import json

import pytest
from django.test import Client

from accounts import takeout
from accounts.models import User
from chat import instructions
from chat.conversations import exporting
from chat.conversations.answerer import answerer_of
from chat.conversations.turns import take_turn
from chat.models import Assistant, Conversation, PersonalInstructions, Reply
from chat.personal_data import forget_person
from chat.prompts.history import preamble_of, turns_before, turns_seen
from feedback import prompts
from feedback.models import Prompt
from feedback.moderation import reported_texts
from tests.consenting import agree

pytestmark = pytest.mark.django_db
JSON = {"accept": "application/json"}


@pytest.fixture
def told(alice):
    return instructions.store(alice, "I teach physics.", "Be brief.", is_on=True)


@pytest.fixture
def client(alice):
    client = Client(headers={"accept-language": "en"})
    client.force_login(alice)
    return client


def complete(reply):
    Reply.objects.filter(pk=reply.pk).update(state="complete")
    reply.message.text = "Yes."
    reply.message.save()


def test_they_stand_before_the_conversation_and_are_kept_with_the_reply(conversation, told, alice):
    _, reply = take_turn(conversation, "Why?", "k1", None)
    first = turns_before(reply.message)[0]
    assert first["role"] == "system"
    assert "I teach physics." in first["content"]
    assert "Be brief." in first["content"]
    instructions.store(alice, "I am somebody else.", "", is_on=True)
    assert "I teach physics." in turns_seen(reply.message)[0]["content"], "as it was when the reply was queued"


def test_they_follow_the_assistants_in_its_system_turn(conversation, told, alice):
    examples = [{"user": "Hi", "assistant": "Ho"}]
    conversation.assistant = Assistant.objects.create(
        owner=alice, name="Poet", system_prompt="Rhyme.", examples=examples
    )
    conversation.save()
    _, reply = take_turn(conversation, "Why?", "k1", None)
    turns = preamble_of(reply.message)
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant"]
    assert turns[0]["content"].startswith("Rhyme.\n\n")
    assert turns[0]["content"].endswith("Be brief.")
    assert reply.preamble[0]["content"] == "Rhyme."


def test_one_conversation_can_go_without_them(client, conversation, told):
    client.post(f"/c/{conversation.pk}/instructions/", {"instructions": "off"}, headers=JSON)
    conversation.refresh_from_db()
    assert answerer_of(conversation).preamble == []
    client.post(f"/c/{conversation.pk}/instructions/", {"instructions": "on"}, headers=JSON)
    conversation.refresh_from_db()
    assert "physics" in answerer_of(conversation).preamble[0]["content"]


@pytest.mark.parametrize(
    ("posted", "is_on", "used"), [("", True, True), ("", False, False), ("off", True, False), ("on", False, True)]
)
def test_a_new_conversation_has_what_was_switched_and_else_what_the_person_set(client, alice, posted, is_on, used):
    instructions.store(alice, "I teach physics.", "", is_on=is_on)
    made = client.post("/conversations/new/", {"text": "Hi", "instructions": posted}, headers=JSON).json()
    assert Conversation.objects.get(pk=made["id"]).uses_instructions is used


def test_the_meter_counts_them(client, scripted_policy, conversation, told):
    def counted(**fields):
        return client.post("/context/", {"text": "Why?", **fields}, headers=JSON).json()["parts"]["instructions"]

    assert counted(instructions="on") > 0
    assert counted(instructions="off") == 0
    assert counted(conversation=conversation.pk) == counted(instructions="on")


def test_nobody_else_reads_them(conversation, told, scripted_policy, alice):
    conversation.may_train = True
    conversation.save()
    agree(alice)
    _, reply = take_turn(conversation, "Why?", "k1", None)
    complete(reply)
    assert "physics" not in json.dumps(exporting.as_json(conversation))
    assert "physics" not in exporting.as_markdown(conversation)
    assert "physics" not in str(reported_texts._turns_of(reply.message))
    assert prompts.take_from_conversations(10, scripted_policy) == 0
    Reply.objects.update(instructions="")
    assert prompts.take_from_conversations(10, scripted_policy) == 1, "without them it is a prompt"
    assert "physics" not in json.dumps(Prompt.objects.get().messages)


def test_they_are_personal_data(conversation, told, alice, tmp_path):
    take_turn(conversation, "Why?", "k1", None)
    with (tmp_path / "data.zip").open("w+b") as file:
        takeout.write(alice, file)
    assert b"PersonalInstructions" in (tmp_path / "data.zip").read_bytes()
    Reply.objects.update(state="stopped")
    forget_person(alice)
    assert not PersonalInstructions.objects.exists()
    assert not Reply.objects.exists()


def test_the_page_stores_them_refuses_what_is_too_long_and_removes_empty_ones(client, alice):
    assert (
        client.post("/account/instructions/", {"about": "I teach.", "manner": "", "is_on": "on"}).status_code == 302
    )
    assert "I teach." in client.get("/account/instructions/").content.decode()
    assert 'id="instructions"' in client.get("/").content.decode()
    refused = client.post("/account/instructions/", {"about": "x" * (instructions.LONGEST + 1)})
    assert refused.status_code == 400
    assert instructions.stored(alice).about == "I teach."
    client.post("/account/instructions/", {"about": " ", "manner": ""})
    assert not PersonalInstructions.objects.exists()
    assert 'id="instructions"' not in client.get("/").content.decode()


def test_another_persons_conversation_cannot_be_switched(client, conversation):
    other = Conversation.objects.create(owner=User.objects.create_user("bob", password="not the demo one"))
    assert client.post(f"/c/{other.pk}/instructions/", {"instructions": "off"}).status_code == 404
