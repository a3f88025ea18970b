"""Sample replies of a report: everybody's prompts for everybody, one's own for oneself, the rest for moderators."""

import pytest

from accounts.roles import Role
from chat.models import Conversation, Message
from feedback import prompts, seed
from feedback.models import Prompt
from rlhf.release import samples
from rlhf.training.snapshot import files
from tests.people import make_person

pytestmark = pytest.mark.django_db
SEEDS = ("What is a thunderstorm?", "Are you lonely sometimes?", "Why is the sea salty?")


def turns(text):
    return [{"role": "user", "content": text}]


def sample(text, messages=None, after="after", **fields):
    digest = files.digest(files.freeze(messages or turns(text)))
    return {"prompt": text, "prompt_sha256": digest, "before": "before", "after": after, **fields}


def asked_by(person, text):
    """A prompt made from a message of the person's."""
    message = Message.objects.create(conversation=Conversation.objects.create(owner=person), role="user", text=text)
    fields = {"messages": turns(text), "sha256": prompts.digest(turns(text)), "message": message}
    return Prompt.objects.create(source=Prompt.Source.CONVERSATION, split="held_out", **fields)


@pytest.fixture
def people(db):
    seed.load()
    sora, leo = make_person("sora"), make_person("leo")
    asked_by(sora, "What does Sora dream of?")
    asked_by(leo, "Where does Leo live?")
    return sora, leo


def texts(found):
    return [one["prompt"] for one in found]


@pytest.mark.parametrize("text", ["plain", '"quoted" \\ and\nbroken', "무지개 🌈", ""])
def test_training_and_site_name_a_prompt_by_the_same_hash(text):
    messages = [{"role": "system", "content": "Be brief."}, *turns(text)]
    assert files.digest(files.freeze(messages)) == prompts.digest(messages)


def test_one_reads_prompts_of_the_site_and_one_s_own(people):
    sora, leo = people
    report = {"samples": [sample(SEEDS[0]), sample("What does Sora dream of?"), sample("Where does Leo live?")]}
    assert texts(samples.readable(report, sora)) == [SEEDS[0], "What does Sora dream of?"]
    assert texts(samples.readable(report, leo)) == [SEEDS[0], "Where does Leo live?"]
    assert len(samples.readable(report, make_person("mod", Role.MODERATOR))) == 3


def test_the_worst_come_first_and_once_and_only_to_who_may_read_them(people):
    sora, leo = people
    worst = [sample("Where does Leo live?", why=["short"]), sample(SEEDS[1], why=["surprising"])]
    report = {"worst": worst, "samples": [sample(SEEDS[0]), sample(SEEDS[1]), sample("What does Sora dream of?")]}
    assert texts(samples.readable(report, leo)) == ["Where does Leo live?", SEEDS[1], SEEDS[0]]
    assert texts(samples.readable(report, sora)) == [SEEDS[1], SEEDS[0], "What does Sora dream of?"]
    assert samples.readable(report, sora)[0]["why"] == ["surprising"]
    assert texts(samples.examples(report)) == [SEEDS[0], SEEDS[1]], "examples are drawn, not the worst"


def test_a_seed_s_words_at_the_end_of_a_conversation_are_not_the_site_s(people):
    talk = [*turns("My name is Leo."), {"role": "assistant", "content": "Hello Leo."}, *turns(SEEDS[0])]
    report = {"samples": [sample(SEEDS[0], messages=talk, after="Leo, it is a storm.")]}
    assert samples.readable(report, people[0]) == []
    assert samples.examples(report) == []


def test_a_sample_without_its_hash_is_for_moderators_alone(people):
    report = {"samples": [{"prompt": SEEDS[0], "before": "a", "after": "b"}, "not even a sample"]}
    assert samples.readable(report, people[0]) == []
    assert texts(samples.readable(report, make_person("mod", Role.MODERATOR))) == [SEEDS[0]]


def test_examples_are_the_first_two_that_differ_of_harmless_prompts_of_the_site(people):
    tempting = Prompt.objects.filter(source="seed", elicits__group="self-anthropomorphism").first()
    harmful = Prompt.objects.filter(source="seed").exclude(elicits=None).first()
    report = {
        "samples": [
            sample("What does Sora dream of?"),
            sample(SEEDS[0], after="before"),
            sample(tempting.messages[-1]["content"]),
            sample(SEEDS[1]),
            sample(SEEDS[2]),
        ]
    }
    assert texts(samples.examples(report)) == [tempting.messages[-1]["content"], SEEDS[1]]
    harmful.elicits.group = "safety"
    harmful.elicits.save()
    assert samples.examples({"samples": [sample(harmful.messages[-1]["content"])]}) == []


@pytest.mark.parametrize("report", [{}, {"samples": None}, {"samples": "x"}])
def test_a_report_without_samples_has_none(people, report):
    assert samples.examples(report) == samples.readable(report, people[0]) == []
