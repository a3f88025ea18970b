"""A choice between two replies: taken once, the winner becomes the path, and what does not count says why."""

import pytest
from asgiref.sync import sync_to_async

from chat.models import Chunk, Conversation, Message, Pair, Policy, Reply
from chat.websocket.consumers import ring
from feedback.models import Comparison
from tests.chat.conftest import opened

JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def rung(monkeypatch):
    """Frames that the other pages of a conversation would get."""
    frames = []
    monkeypatch.setattr("feedback.views.comparing.ring", lambda _conversation, frame: frames.append(frame))
    return frames


@pytest.fixture
def carl(person):
    return person("carl")


@pytest.fixture
def client(signed_in, carl):
    return signed_in(carl)


def make_pair(owner, texts=("Rain and sun.", "Light."), policies=(None, None), state=Reply.State.COMPLETE, **fields):
    asks = fields.pop("asks", "What is a rainbow?")
    conversation = Conversation.objects.create(owner=owner, **fields)
    asked = Message.objects.create(conversation=conversation, role="user", text=asks)
    replies = []
    for text, policy in zip(texts, policies, strict=True):
        message = Message.objects.create(conversation=conversation, parent=asked, role="assistant", text=text)
        replies.append(Reply.objects.create(message=message, state=state, policy=policy, finish_reason="stop"))
    Conversation.objects.filter(pk=conversation.pk).update(tip=replies[0].message)
    return Pair.objects.create(message=asked, left=replies[0], right=replies[1])


@pytest.fixture
def two(policy):
    return policy, Policy.objects.create(name="heron-2", version=2, is_scripted=True, is_on_trial=True)


@pytest.fixture
def pair(carl, two):
    return make_pair(carl, policies=two)


def choose(client, pair, choice, **fields):
    return client.post(f"/pairs/{pair.pk}/choose/", {"choice": choice, **fields}, headers=JSON)


@pytest.mark.parametrize(
    ("choice", "winner"), [("left", "left"), ("right", "right"), ("tie", "left"), ("both_bad", "left")]
)
def test_a_choice_is_kept_reveals_the_names_and_opens_the_winner_s_path(client, pair, carl, rung, choice, winner):
    told = choose(client, pair, choice, seconds="4.5").json()
    made = Comparison.objects.get()
    assert (made.pair, made.annotator, made.choice, made.discounted, made.seconds) == (pair, carl, choice, "", 4.5)
    assert told["left"]["policy"] == {"name": "scripted", "version": 1}
    assert told["right"]["policy"] == {"name": "heron-2", "version": 2}
    tip = Conversation.objects.get().tip
    assert tip == getattr(pair, winner).message
    assert told["winner"] == tip.pk
    assert rung == [told]
    assert Message.objects.filter(role="assistant").count() == 2  # the other one stays beside it


def test_the_first_choice_stays(client, pair):
    choose(client, pair, "right")
    again = choose(client, pair, "right")
    assert (again.status_code, again.json()["choice"]) == (200, "right")
    other = choose(client, pair, "left")
    assert (other.status_code, other.json()["code"]) == (409, "already_chosen")
    assert Comparison.objects.get().choice == "right"


@pytest.mark.parametrize("choice", ["", "middle", "LEFT"])
def test_what_is_no_choice_is_refused(client, pair, choice):
    assert choose(client, pair, choice).status_code == 400
    assert Pair.objects.get().revealed_at is None


@pytest.mark.parametrize("seconds", ["nan", "-1", "1e99", "long"])
def test_a_time_that_is_none_is_kept_as_nothing(client, pair, seconds):
    choose(client, pair, "tie", seconds=seconds)
    assert Comparison.objects.get().seconds == 0


def test_nobody_chooses_for_somebody_else(signed_in, person, pair):
    eve = signed_in(person("eve"))
    assert choose(eve, pair, "left").status_code == 404
    assert eve.post(f"/pairs/{pair.pk}/give-up/", {"side": "left"}, headers=JSON).status_code == 404
    assert not Comparison.objects.exists()


def test_a_choice_waits_until_both_have_begun(client, carl, two):
    pair = make_pair(carl, texts=("", ""), policies=two, state=Reply.State.STREAMING)
    Chunk.objects.create(reply=pair.left, seq=1, text="Rain")
    assert choose(client, pair, "left").json()["code"] == "not_seen_yet"
    Chunk.objects.create(reply=pair.right, seq=1, text="Light")
    assert choose(client, pair, "left").status_code == 200


@pytest.mark.parametrize("state", ["failed", "interrupted", "blocked"])
def test_a_reply_that_did_not_come_leaves_nothing_to_compare(client, pair, state):
    Reply.objects.filter(pk=pair.right_id).update(state=state)
    assert choose(client, pair, "left").json()["code"] == "nothing_to_compare"
    told = client.post(f"/pairs/{pair.pk}/give-up/", {"side": "left"}, headers=JSON).json()
    assert (told["choice"], told["winner"]) == (None, pair.left.message_id)
    assert not Comparison.objects.exists()


def test_a_side_that_a_rule_ended_says_so_on_a_page_that_is_opened_later(client, pair):
    Reply.objects.filter(pk=pair.right_id).update(state="blocked", blocked_by="no-insults", trimmed=2)
    page = client.get(f"/c/{pair.message.conversation_id}/").content.decode()
    assert "Blocked by the rule" in page
    assert "The 2 oldest messages were left out" in page


def test_after_the_conversation_went_on_a_choice_no_longer_counts(client, pair):
    client.post(f"/pairs/{pair.pk}/give-up/", {"side": "right"}, headers=JSON)
    assert Conversation.objects.get().tip == pair.right.message
    assert choose(client, pair, "left").json()["code"] == "lapsed"
    assert client.post(f"/pairs/{pair.pk}/give-up/", {"side": "left"}, headers=JSON).json()["code"] == "lapsed"
    assert Conversation.objects.get().tip == pair.right.message
    assert not Comparison.objects.exists()


def test_a_reply_that_tells_who_wrote_it_does_not_count(client, carl, two):
    pair = make_pair(carl, texts=("I am heron-2, hello.", "Hello."), policies=two)
    assert choose(client, pair, "left").json()["discounted"] == "identity"
    assert Comparison.objects.get().discounted == "identity"


def test_what_was_written_by_the_time_of_the_choice_decides_whether_it_counts(client, carl, two):
    pair = make_pair(carl, texts=("", ""), policies=two, state=Reply.State.STREAMING)
    Chunk.objects.create(reply=pair.left, seq=1, text="I am her")
    Chunk.objects.create(reply=pair.left, seq=2, text="on-2")
    Chunk.objects.create(reply=pair.right, seq=1, text="Hello")
    assert choose(client, pair, "left").json()["discounted"] == "identity"


@pytest.mark.django_db(transaction=True)
async def test_every_open_page_of_the_conversation_is_told(signed_in, person, monkeypatch):
    monkeypatch.setattr("feedback.views.comparing.ring", ring)

    def prepare():
        owner = person("dora")
        made = make_pair(owner, policies=(Policy.objects.create(name="wren-1", version=1), None))
        return owner, made, made.message.conversation

    owner, pair, conversation = await sync_to_async(prepare)()
    async with opened(conversation, owner) as socket:
        told = await sync_to_async(lambda: choose(signed_in(owner), pair, "left").json())()
        assert await socket.hear() == told
        await socket.say(type="ping")
        assert (await socket.hear())["type"] == "pong"
