"""Taking one's data along: each table with a way to a user is in it or left out for a reason."""

import io
import json
from zipfile import ZipFile

import pytest
from django.apps import apps
from django.test import Client
from django.utils import timezone

from accounts import personal
from accounts.models import User
from chat.models import Assistant, Conversation, Message, Pair, Policy, Reply
from feedback.models import Completion, Prompt, Ranking, RankingTask, Report, Thumb


def links(model):
    """The foreign keys of a model."""
    return [field.related_model for field in model._meta.concrete_fields if field.is_relation]


def with_a_way_to_a_user():
    """Labels of every model that leads to a user over foreign keys."""
    models = apps.get_models(include_auto_created=True)
    leading = {User}
    while True:
        more = {model for model in models if model not in leading and leading & set(links(model))}
        if not more:
            return {model._meta.label for model in leading}
        leading |= more


def named():
    exported = [table.label for app in personal.modules() for table in app.EXPORT]
    excluded = {label: why for app in personal.modules() for label, why in app.EXCLUDED.items()}
    return exported, excluded


def test_every_table_with_a_way_to_a_user_is_exported_or_excluded_with_a_reason():
    exported, excluded = named()
    assert sorted(with_a_way_to_a_user()) == sorted([*exported, *excluded])
    assert len(exported) == len(set(exported))
    assert [label for label, why in excluded.items() if len(why) < 10] == []


def test_the_walk_finds_tables_behind_other_tables():
    assert {"chat.Chunk", "rlhf.Decision", "accounts.User_groups", "admin.LogEntry"} <= with_a_way_to_a_user()
    assert "metering.Price" not in with_a_way_to_a_user()


# --- the zip ------------------------------------------------------------------------------------------------------


@pytest.fixture
def policy(db):
    return Policy.objects.create(name="policy-1", version=1)


def life_of(name, policy):
    """A person with a row in every table that people of a site have."""
    person = User.objects.create_user(name, password="a long enough password")
    talk = Conversation.objects.create(owner=person, title=f"{name} talks")
    asked = Message.objects.create(conversation=talk, role="user", text=f"{name} asks")
    said = Message.objects.create(conversation=talk, role="assistant", text=f"to {name}", parent=asked)
    Reply.objects.create(message=said, policy=policy, state="complete")
    Assistant.objects.create(owner=person, name=f"{name}'s helper", system_prompt=f"{name}'s prompt")
    Thumb.objects.create(message=said, person=person, is_up=True, comment=f"{name} likes it")
    Report.objects.create(message=said, reporter=person, comment=f"{name} reports")
    prompt = Prompt.objects.create(messages=[], sha256=name)
    task = RankingTask.objects.create(prompt=prompt, policy=policy, state="done")
    completion = Completion.objects.create(task=task, index=0, text="x")
    Ranking.objects.create(task=task, annotator=person, ranks={str(completion.pk): 1}, comment=f"{name} ranks")
    return person


def taken_by(person):
    client = Client()
    client.force_login(person)
    answer = client.get("/account/data/")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/zip"
    assert "no-store" in answer["Cache-Control"]
    with ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_the_zip_holds_every_row_of_the_person_and_none_of_another(policy):
    alice, _bob = life_of("alice", policy), life_of("bob", policy)
    taken = taken_by(alice)
    exported, excluded = named()
    assert {f"tables/{label}.json" for label in exported} <= set(taken)
    assert set(taken["about.json"]["left_out"]) == set(excluded)
    filled = ("Conversation", "Assistant", "Thumb", "Report", "Ranking", "Reply", "User")
    counts = {label.split(".")[1]: count for label, count in taken["about.json"]["rows"].items()}
    assert [counts[name] for name in filled] == [1] * len(filled)
    assert counts["Message"] == 2
    text = json.dumps(taken)
    assert "alice asks" in text
    assert "alice's prompt" in text
    assert "bob" not in text
    assert "password" not in taken["tables/accounts.User.json"][0]


def test_each_conversation_is_a_file_that_can_be_read_in_again(policy):
    alice = life_of("alice", policy)
    taken = taken_by(alice)
    name = next(name for name in taken if name.startswith("conversations/"))
    client = Client()
    client.force_login(alice)
    file = io.BytesIO(json.dumps(taken[name]).encode())
    file.name = "c.json"
    assert client.post("/conversations/import/", {"file": file})["Location"].startswith("/c/")
    assert alice.conversations.count() == 2


def test_hidden_texts_and_names_of_undecided_pairs_are_left_out(policy):
    alice = life_of("alice", policy)
    asked = alice.conversations.get().messages.get(role="user")
    Message.objects.filter(role="user").update(hidden_at=timezone.now())
    replies = [Reply.objects.get()]
    other = Message.objects.create(conversation=asked.conversation, role="assistant", text="other", parent=asked)
    replies.append(Reply.objects.create(message=other, policy=policy, state="complete"))
    Pair.objects.create(message=asked, left=replies[0], right=replies[1])
    text = json.dumps(taken_by(alice))
    assert "alice asks" not in text
    assert "policy-1" not in text
    assert f'"policy_id": {policy.pk}' not in text


def test_a_stranger_is_sent_to_sign_in(db):
    assert Client().get("/account/data/")["Location"].startswith("/sign-in/")
