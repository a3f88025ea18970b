"""What a person wrote is masked in the prompt that annotators get, and stays in the conversation."""

import pytest

from chat.models import Message
from feedback import prompts
from feedback.models import Prompt, RankingTask
from tests.feedback.conversation_rows import talk
from tests.people import make_person

pytestmark = pytest.mark.django_db
SAID = "I am Sarah Johnson, sarah@example.org. What is a rainbow?"


@pytest.fixture
def writer():
    return make_person("writer")


def test_the_prompt_has_masks_and_the_conversation_the_words(writer, policy):
    talk(writer, SAID, "Hello Sarah! Light.", "Sarah here: and a storm?", "Wind.", policy=policy)
    prompts.take_from_conversations(5, policy)
    first, second = Prompt.objects.order_by("message_id")
    assert first.messages[-1]["content"] == "I am <NAME_1>, <EMAIL_1>. What is a rainbow?"
    assert second.messages[1]["content"] == "Hello <NAME_1>! Light."
    assert second.messages[-1]["content"] == "<NAME_1> here: and a storm?"
    assert first.masked == {"EMAIL": 1, "NAME": 1}
    assert Message.objects.filter(text=SAID).exists()


def test_the_pages_say_what_was_masked(writer, policy, annotator, signed_in):
    asked = talk(writer, SAID, "Light.", policy=policy)[0]
    prompts.take_from_conversations(5, policy)
    task = RankingTask.objects.create(prompt=Prompt.objects.get(), policy=policy)
    for index, text in enumerate(("Light.", "Rain.", "Sun.", "Air.")):
        task.completions.create(index=index, text=text, finish_reason="stop")
    page = signed_in(annotator).get("/rank/").content.decode()
    assert "1 name, 1 e-mail address" in page
    assert "Sarah" not in page
    assert "1 name, 1 e-mail address" in signed_in(writer).get(f"/c/{asked.conversation_id}/uses/").content.decode()
