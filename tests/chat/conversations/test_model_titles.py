"""Titles by the model: when it is asked, what is taken of its answer, and what stays as it was."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import User
from chat import guards, site_choices
from chat.completions.bulk import Completed
from chat.conversations import model_titles, titles
from chat.errors import Blocked, EngineDown
from chat.models import Conversation, Message, Reply, Ticket

pytestmark = pytest.mark.django_db
QUESTION, ANSWER = "Why do birds sing in the morning?", "Birds sing to defend their place."
By = Conversation.TitledBy


@pytest.fixture
def model(scripted_policy, monkeypatch):
    """Stands in for the engine: `says` is what it answers, `asked` counts."""
    site_choices.change(User.objects.create_superuser("admin", password="x" * 12), titles_by_model=True)

    class Model:
        says, finish, asked = "Birds sing in the morning", "stop", 0

        def complete_each(self, policy, prompts, *, parameters, look, starts_engine):
            self.asked += 1
            if isinstance(self.says, Exception):
                raise self.says
            return [(0, [Completed(self.says, self.finish, 9, 9)])]

    model = Model()
    monkeypatch.setattr(model_titles, "complete_each", model.complete_each)
    return model


@pytest.fixture
def talked(alice):
    made = Conversation.objects.create(owner=alice, title=titles.title_from(QUESTION))
    asked = Message.objects.create(conversation=made, role="user", text=QUESTION)
    said = Message.objects.create(conversation=made, parent=asked, role="assistant", text=ANSWER)
    Reply.objects.create(message=said, state=Reply.State.COMPLETE)
    return made


def outcome(conversation):
    conversation.refresh_from_db()
    return conversation.title, conversation.titled_by


def test_a_good_title_is_taken_once(model, talked):
    assert model_titles.title_new_ones() == 1
    assert outcome(talked) == ("Birds sing in the morning", By.MODEL)
    assert model_titles.title_new_ones() == 0
    assert model.asked == 1


@pytest.mark.parametrize(
    ("says", "finish"),
    [
        ("Title: ", "stop"),
        ("Birds", "stop"),
        ("Birds sing in the morning\nThey do.", "stop"),
        ("Birds sing in the morning", "length"),
        ("Sure! Here is a title about birds", "stop"),
        ("The user asks why birds sing", "stop"),
        ("Quantum Physics of the Heart", "stop"),
        ("Birds sing birds sing birds sing", "stop"),
        ("새들이 아침에 노래하는 이유", "stop"),
        ("Why do birds sing?", "stop"),
        ("Birds sing to defend their place, in the morning, and why", "stop"),
    ],
)
def test_a_poor_one_leaves_the_first_messages_for_good(model, talked, says, finish):
    model.says, model.finish = says, finish
    before = talked.title
    assert model_titles.title_new_ones() == 0
    assert outcome(talked) == (before, By.FIRST_MESSAGE_FOR_GOOD)
    model.says, model.finish = "Birds sing in the morning", "stop"
    assert model_titles.title_new_ones() == 0


@pytest.mark.parametrize(
    "says", ['"Birds sing in the morning."', "Title: Birds sing in the morning", "**Birds sing** in the morning"]
)
def test_marks_around_it_are_taken_off(says):
    made = model_titles.good_title(Completed(says, "stop", 9, 9), QUESTION, ANSWER)
    assert made.replace("*", "") == "Birds sing in the morning"


def test_korean_is_titled_in_korean():
    asked, said = "새는 왜 아침에 노래하나요?", "새들은 아침에 영역을 알립니다."
    assert model_titles.good_title(Completed("새 아침 노래", "stop", 9, 9), asked, said) == "새 아침 노래"
    assert model_titles.good_title(Completed("Birds in the morning", "stop", 9, 9), asked, said) == ""


def test_one_that_a_person_gave_stays(model, talked):
    titles.rename(talked, "Mine")
    assert model_titles.title_new_ones() == 0
    assert outcome(talked) == ("Mine", By.PERSON)
    assert model.asked == 0


def test_a_person_who_renames_meanwhile_wins(model, talked, monkeypatch):
    def complete_each(*arguments, **named):
        titles.rename(Conversation.objects.get(pk=talked.pk), "Mine")
        return [(0, [Completed("Birds sing in the morning", "stop", 9, 9)])]

    monkeypatch.setattr(model_titles, "complete_each", complete_each)
    assert model_titles.title_new_ones() == 0
    assert outcome(talked) == ("Mine", By.PERSON)


def test_people_and_programs_that_wait_come_first(model, talked, alice):
    waiting = Ticket.objects.create(user=alice, lease_until=timezone.now() + timedelta(minutes=1))
    assert model_titles.title_new_ones() == 0
    waiting.delete()
    asked = Message.objects.create(conversation=talked, role="assistant")
    reply = Reply.objects.create(message=asked)
    assert model_titles.title_new_ones() == 0
    assert (model.asked, outcome(talked)[1]) == (0, By.FIRST_MESSAGE)
    Reply.objects.filter(pk=reply.pk).update(state="stopped")
    assert model_titles.title_new_ones() == 1


def test_a_title_that_a_guard_blocks_is_not_used(model, talked, monkeypatch):
    def refuse(text, conversation):
        raise Blocked("rule", text)

    monkeypatch.setattr(guards, "check_reply", refuse)
    assert model_titles.title_new_ones() == 0
    assert outcome(talked)[1] == By.FIRST_MESSAGE_FOR_GOOD


def test_an_engine_that_is_away_is_asked_again_later(model, talked):
    model.says = EngineDown("away")
    assert model_titles.title_new_ones() == 0
    assert outcome(talked)[1] == By.FIRST_MESSAGE
    model.says = "Birds sing in the morning"
    assert model_titles.title_new_ones() == 1


def test_temporary_deleted_old_and_unanswered_ones_are_left_alone(model, talked):
    for fields in (
        {"expires_at": timezone.now()},
        {"deleted_at": timezone.now()},
        {"created_at": timezone.now() - timedelta(hours=2)},
    ):
        before = {name: getattr(talked, name) for name in fields}
        Conversation.objects.filter(pk=talked.pk).update(**fields)
        assert model_titles.title_new_ones() == 0
        Conversation.objects.filter(pk=talked.pk).update(**before)
    Reply.objects.update(state="stopped")
    assert model_titles.title_new_ones() == 0
    assert model.asked == 0


def test_a_site_can_do_without(model, talked):
    site_choices.change(User.objects.get(username="admin"), titles_by_model=False)
    assert model_titles.title_new_ones() == 0
    assert model.asked == 0


def test_the_engine_is_asked_as_bulk_work_that_ends_when_somebody_writes(model, talked, monkeypatch, alice):
    def complete_each(*arguments, look, starts_engine, **named):
        assert not starts_engine
        assert look() > 0
        Reply.objects.create(message=Message.objects.create(conversation=talked, role="assistant"))
        look()
        raise AssertionError("it goes on")

    monkeypatch.setattr(model_titles, "complete_each", complete_each)
    assert model_titles.title_new_ones() == 0
    assert outcome(talked)[1] == By.FIRST_MESSAGE


def is_marked(client, talked):
    return f'data-item="{talked.pk}" data-untitled' in client.get("/conversations/").content.decode()


def test_the_list_marks_what_may_get_a_title_until_it_was_tried(model, talked, client, alice):
    client.force_login(alice)
    assert is_marked(client, talked)
    site_choices.change(User.objects.get(username="admin"), titles_by_model=False)
    assert not is_marked(client, talked)
    site_choices.change(User.objects.get(username="admin"), titles_by_model=True)
    model.says = "Quantum Physics of the Heart"
    model_titles.title_new_ones()
    assert not is_marked(client, talked)
