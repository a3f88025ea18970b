"""A prompt is cut by one rule when it is served and when it is trained on, so that both have the same ids."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import User
from base.trimming import DoesNotFit
from chat import policies
from chat.conversations.turns import take_turn
from chat.errors import TooLong
from chat.models import Message, Reply
from chat.prompts.fitting import fit
from chat.prompts.history import prompt_for, turns_before
from chat.prompts.rendering import Renderer
from rlhf.models import Run
from rlhf.runs import stages
from rlhf.snapshots import freezing, rows
from rlhf.training.ppo.config import PpoConfig
from rlhf.training.reward.features import encode
from rlhf.training.snapshot.files import SnapshotFiles, freeze, thaw
from rlhf.training.snapshot.fitting import fit_prompts
from rlhf.training.tokens import ChatTokenizer
from tests.chat.policies import install
from tests.consenting import open_conversation
from tests.rlhf import feedback_rows

PREAMBLE = [
    {"role": "system", "content": "너는 참새다. Answer in one sentence."},
    {"role": "user", "content": "What is a star?"},
    {"role": "assistant", "content": "A ball of hot gas."},
]
SAID = [
    *("Why do birds sing?", "They sing to find a mate.", "그럼 겨울에는?", "겨울에는 덜 웁니다."),
    *("Read this. " + "비가 오고 해가 난다. Rain and sun. " * 12, "I have read it.", "What was it about?"),
    *("It was about rain and sun.", "고마워. 무지개는 왜 생겨?", "빛이 물방울에서 꺾입니다.", "And why is it round?"),
]


def say(conversation, texts):
    tip = None
    for index, text in enumerate(texts):
        role = ("user", "assistant")[index % 2]
        tip = Message.objects.create(conversation=conversation, parent=tip, role=role, text=text)
    return tip


def served(policy, texts, completion_tokens=512):
    """The prompt that the policy gets, and the reply to it as the talker records it."""
    user = User.objects.create(username=f"chatter-{Message.objects.count()}")
    conversation = open_conversation(user)
    message = Message.objects.create(
        conversation=conversation, parent=say(conversation, texts), role="assistant", text="It is a bow."
    )
    reply = Reply.objects.create(message=message, state="complete", policy=policy, preamble=PREAMBLE)
    prompt = prompt_for(policy, turns_before(message), completion_tokens, len(PREAMBLE))
    Reply.objects.filter(pk=reply.pk).update(trimmed=prompt.dropped)
    return prompt, Message.objects.get(pk=message.pk)


def frozen(directory, *messages):
    """A snapshot in which each message is ranked beside another."""
    directory.mkdir()
    completions = [{"text": text, "finish_reason": "stop"} for text in ("It is a bow.", "Because.")]
    lines = [
        {
            **{"id": message.pk, "prompt": rows._context_of(message), "completions": completions},
            **{"ranks": [1, 2], "split": "train", "simulated": False},
        }
        for message in messages
    ]
    prompts = [{"prompt": line["prompt"], "split": "train"} for line in lines]
    freezing._write(directory, {"rankings.jsonl": lines, "prompts.jsonl": prompts, "violations.jsonl": []}, {})
    return SnapshotFiles.load(directory)


@pytest.fixture
def policy(db, tiny_policy):
    return install(tiny_policy, "tiny-served", is_live=True)


@pytest.fixture(scope="module")
def tokenizer(tiny_policy):
    return ChatTokenizer.load(tiny_policy)


@pytest.fixture(scope="module")
def renderer(tiny_policy):
    return Renderer(tiny_policy)


def test_a_long_conversation_has_the_same_ids_when_it_is_served_and_when_it_is_trained_on(
    policy, tokenizer, tmp_path
):
    prompt, message = served(policy, SAID)
    assert 0 < prompt.dropped < len(SAID)
    assert prompt.messages[: len(PREAMBLE)] == PREAMBLE
    longer, other = served(policy, SAID, completion_tokens=48)  # as for a ranking task
    assert longer.dropped < prompt.dropped
    snapshot = frozen(tmp_path / "snapshot", message, other)
    for kind in (Run.Kind.REWARD_MODEL, Run.Kind.EVALUATION):
        limit = stages.hyperparameters_of(Run(kind=kind, base_policy=policy, config={}))["max_prompt_tokens"]
        fitted = fit_prompts(snapshot, tokenizer, limit)
        assert fitted.counts == {"prompts_shortened": 0, "prompts_left_out": 0}
        trained = [tokenizer.prompt_ids(thaw(row.prompt)) for row in fitted.snapshot.prompts]
        assert trained == [prompt.ids, longer.ids]
        replies = [ranking.replies[0] for ranking in fitted.snapshot.rankings]
        read = [
            encode(tokenizer, thaw(reply.prompt), reply.text, finished=True, max_completion_tokens=64)
            for reply in replies
        ]
        assert [list(row.ids[: row.prompt_length]) for row in read] == [prompt.ids, longer.ids]


SITES = [{"role": "system", "content": "Answer in one sentence."}]


def lines(snapshot, name):
    return [json.loads(line) for line in (snapshot.path / name).read_text().splitlines()]


@pytest.mark.django_db
def test_prompts_have_the_site_s_instructions_and_judged_replies_those_with_which_they_were_made(ann, settings):
    settings.CHAT_SYSTEM_PROMPT = "Answer at length."
    ranking = feedback_rows.rank(ann, 1)
    feedback_rows.flag(ranking)
    ranking.task.completions.update(parameters={"system_prompt": SITES[0]["content"]})
    old = feedback_rows.rank(ann, 2)  # of a version without such instructions
    snapshot = freezing.freeze()
    prompt = ranking.task.prompt
    assert lines(snapshot, "rankings.jsonl")[0]["prompt"] == SITES + prompt.messages
    assert lines(snapshot, "violations.jsonl")[0]["prompt"] == SITES + prompt.messages
    assert lines(snapshot, "rankings.jsonl")[1]["prompt"] == old.task.prompt.messages
    served = lines(snapshot, "prompts.jsonl")[0]
    assert served["prompt"] == [{"role": "system", "content": "Answer at length."}, *prompt.messages]
    settings.CHAT_SYSTEM_PROMPT = ""
    assert "sha256" not in lines(freezing.freeze(), "prompts.jsonl")[0]


@pytest.mark.django_db
def test_a_prompt_keeps_its_name_whatever_the_site_says_before_it(ann, settings):
    prompt = feedback_rows.rank(ann, 1, "train").task.prompt
    settings.CHAT_SYSTEM_PROMPT = "Answer at length."
    (row,) = SnapshotFiles.load(freezing.freeze().path).prompts
    assert row.prompt[0] == ("system", "Answer at length.")
    assert row.name == prompt.sha256


@pytest.mark.django_db
def test_a_conversation_and_a_seed_prompt_are_read_after_the_same_instructions(ann, settings, policy, tmp_path):
    settings.CHAT_SYSTEM_PROMPT = SITES[0]["content"]
    conversation = open_conversation(ann)
    _message, reply = take_turn(conversation, "What is a rainbow, number 1?", "key", None)
    feedback_rows.rank(ann, 1)
    served = lines(freezing.freeze(), "prompts.jsonl")[0]["prompt"]
    assert (
        turns_before(reply.message) == served == [*SITES, {"role": "user", "content": "What is a rainbow, number 1?"}]
    )


def test_training_a_policy_cuts_to_its_own_room_as_serving_would(policy, tokenizer, tmp_path):
    prompt, message = served(policy, SAID, completion_tokens=48)
    room = PpoConfig().max_prompt_tokens
    assert prompt.tokens > room
    fitted = fit_prompts(frozen(tmp_path / "snapshot", message), tokenizer, room)
    assert fitted.counts == {"prompts_shortened": 1, "prompts_left_out": 0}
    (row,) = fitted.snapshot.prompts
    as_served = fit(
        prompt.messages, Renderer(policies.directory(policy)), context_tokens=2 * room, completion_tokens=room
    )
    assert tokenizer.prompt_ids(thaw(row.prompt)) == as_served.ids
    assert {reply.prompt for ranking in fitted.snapshot.rankings for reply in ranking.replies} == {row.prompt}


def test_what_cannot_be_cut_to_the_room_is_left_out_and_counted(policy, tokenizer, tmp_path):
    (_, short), (_, long) = served(policy, ["Why?"]), served(policy, ["Why? " * 60])
    snapshot = frozen(tmp_path / "snapshot", short, long)
    fitted = fit_prompts(snapshot, tokenizer, 200)
    assert fitted.counts == {"prompts_shortened": 0, "prompts_left_out": 1}
    assert [row.prompt for row in fitted.snapshot.prompts] == [freeze(rows._context_of(short))]
    assert [ranking.replies[0].prompt for ranking in fitted.snapshot.rankings] == [
        row.prompt for row in fitted.snapshot.prompts
    ]


TEXT = st.text("ab .?\n참새가", max_size=60)
CONVERSATIONS = st.tuples(
    st.none() | TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=6), TEXT, st.integers(min_value=1, max_value=400)
)


@settings(max_examples=150, deadline=None)
@given(CONVERSATIONS)
def test_any_conversation_in_any_room_is_cut_alike_and_keeps_its_last_message(renderer, tokenizer, drawn):
    system, exchanges, last, room = drawn
    head = [] if system is None else [{"role": "system", "content": system}]
    middle = [
        {"role": role, "content": text}
        for exchange in exchanges
        for role, text in zip(("user", "assistant"), exchange, strict=True)
    ]
    turns = [*head, *middle, {"role": "user", "content": last}]
    try:
        prompt = fit(turns, renderer, context_tokens=2 * room, completion_tokens=room)
    except TooLong:
        with pytest.raises(DoesNotFit):
            tokenizer.prompt_ids(turns, limit=room)
        assert len(tokenizer.prompt_ids([*head, turns[-1]])) > room
        return
    assert tokenizer.prompt_ids(turns, limit=room) == prompt.ids
    assert len(prompt.ids) <= room
    assert prompt.messages == [*head, *middle[prompt.dropped :], turns[-1]]
    assert prompt.dropped % 2 == 0  # a question goes with its answer
    if prompt.dropped:
        assert len(tokenizer.prompt_ids([*head, *middle[prompt.dropped - 2 :], turns[-1]])) > room
    assert tokenizer.prompt_ids(prompt.messages, limit=2 * room) == prompt.ids  # cut once, it is not cut again
