"""A site whose model, people and programs write attacks wherever a text can stand."""

from tests.attacks import ATTACKS

PROGRAM = "from tests.browser.hostile import infest; infest()"
ECHO = '{"echoes": true, "seconds_a_token": 0}'
CUT_EVERY = 23
"""Each attack is also written as far as a stopped reply may have come."""


def half_written() -> list[str]:
    return [attack[:end] for attack in ATTACKS for end in range(CUT_EVERY, len(attack), CUT_EVERY)]


def infest() -> None:
    from django.urls import reverse

    from accounts import demo
    from accounts.models import User
    from chat.conversations import sharing
    from chat.models import Conversation, Policy
    from feedback import seed
    from feedback.models import Report

    demo.create_accounts()
    seed.load()
    Policy.objects.create(name="scripted", version=1, is_live=True, is_scripted=True, source=ECHO)
    chatter = User.objects.get(username="chatter")
    whole = talk(chatter, "Whole", [*ATTACKS, "\n\n".join(ATTACKS)])
    talk(chatter, "Half", half_written())
    for attack in ATTACKS:
        Conversation.objects.create(owner=chatter, title=attack[:120])
    for message in whole.messages.filter(role="assistant"):
        Report.objects.create(message=message, reporter=chatter, comment=message.text)
    print(reverse("shared", args=[sharing.share(whole).token]))  # noqa: T201
    tasks()
    probe()


def talk(owner, title, texts):
    """Each text said by the person and said again by the model."""
    from chat.models import Chunk, Conversation, Message, Policy, Reply

    policy = Policy.objects.get()
    conversation = Conversation.objects.create(owner=owner, title=title)
    parent = None
    for text in texts:
        asked = Message.objects.create(conversation=conversation, parent=parent, role="user", text=text)
        parent = Message.objects.create(conversation=conversation, parent=asked, role="assistant", text=text)
        reply = Reply.objects.create(message=parent, policy=policy, state="complete", last_seq=1)
        Chunk.objects.create(reply=reply, seq=1, text=text)
    return conversation


def tasks() -> None:
    for number in range(0, len(ATTACKS), 4):
        ranking_task(ATTACKS[number : number + 4], ATTACKS[number])


def ranking_task(texts, asked) -> None:
    """Something to rank."""
    from chat.models import Policy
    from feedback.models import Completion, Prompt, RankingTask
    from feedback.prompts import digest

    messages = [{"role": "user", "content": asked}]
    prompt = Prompt.objects.create(messages=messages, sha256=digest(messages))
    task = RankingTask.objects.create(prompt=prompt, policy=Policy.objects.get())
    for index, text in enumerate(texts):
        Completion.objects.create(task=task, index=index, text=text, finish_reason="stop")


def probe() -> None:
    """A dialogue in which both sides say attacks."""
    from accounts.models import User
    from chat.models import Policy
    from feedback.probing import talking
    from tests.consenting import agree
    from tests.feedback.probing import probes

    probes.order([Policy.objects.get()], "no-body")
    annotator = User.objects.get(username="annotator")
    agree(annotator)
    own = talking.take(annotator)
    for attack in ATTACKS:
        probes.answer(own, attack, attack)
