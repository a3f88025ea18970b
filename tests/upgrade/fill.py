"""Fills an empty site with rows in every table and a policy that was trained on them.

It runs with the code of the commit whose database is wanted, old or new. So it goes by commands and by the labels of
models, never by the modules that they live in.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.utils import timezone

SHORT = (
    "reward_model.epochs=1", "reward_model.rank=4",
    "policy.iterations=2", "policy.prompts_per_iteration=4", "policy.completions_per_prompt=2", "policy.rank=4",
    "policy.max_tokens=12", "policy.calibration_prompts=4", "policy.minibatch_rows=8", "policy.learning_rate=0.002",
    "policy.target_kl=50.0", "policy.stop_kl=100.0",
    "evaluation.prompts=24", "evaluation.draws=2", "evaluation.best_of=2", "evaluation.best_of_prompts=4",
    "evaluation.max_tokens=12",
)  # fmt: skip
"""A cycle of seconds."""
RANKINGS = {"train": 24, "held_out": 8}
"""More than a site asks for before it trains."""
UNRANKED_HELD_OUT = 24
"""Prompts that an evaluation asks beside the ranked ones."""
COMPLETIONS = ("A rainbow is light.", 'I feel "rainbows" in\nmy heart.', "It is", "비와 해가 만들어요. \\o/")
RULE = "no-body"
GREETING = "Why do birds sing?"


def rows(label: str) -> Any:
    """The manager of a model, by its label."""
    return apps.get_model(label)._default_manager


def exists(label: str) -> bool:
    """Whether the code has this model already."""
    return label in {model._meta.label for model in apps.get_models()}


def empty_tables() -> list[str]:
    """Labels of our models without a row, those between two models included."""
    ours = (model for model in apps.get_models(include_auto_created=True) if not is_djangos(model))
    return sorted(model._meta.label for model in ours if not model._default_manager.exists())


def is_djangos(model: Any) -> bool:
    """Sessions, the log of the admin pages and the like: they are Django's to migrate."""
    return str(model._meta.app_config.name).startswith("django.")


def run(command: str, *words: str) -> None:
    call_command(command, *words, stdout=StringIO(), stderr=StringIO())


def fill(base: Path) -> None:
    """`base`: a policy directory that the site's training can go on from."""
    Filling().fill(base)


class Filling:
    """The people and the rule that the other rows hang on."""

    def __init__(self) -> None:
        self.now = timezone.now()
        self.chatter, self.annotator, self.admin, self.robot = people()
        self.rule_version = rule()

    def fill(self, base: Path) -> None:
        run("fetch_model", str(base))
        self.base = rows("chat.Policy").get(is_live=True)
        if exists("accounts.Consent"):
            self.agree()
        self.talk()
        self.judge()
        self.choose_between_two()
        self.moderate()
        if exists("feedback.ProjectMember"):
            self.work_on_projects()
            self.trust_annotators()
            self.import_judgements()
            self.moderate_at_volume()
        if exists("feedback.Probe"):
            self.ask_and_probe()
        self.look_inside()
        self.use_keys()
        run("run_cycle", *(word for setting in SHORT for word in ("--set", setting)))
        live = rows("chat.Policy").get(runs__kind="policy")
        make_live(live, self.admin)
        if exists("rlhf.Canary"):
            self.try_on_a_share(live)
        self.fine_tune()
        if exists("feedback.AgreementFigure"):
            self.store_agreement()

    def try_on_a_share(self, live: Any) -> None:
        """The policy before, as if the gate had passed it against the one that is live."""
        run = rows("rlhf.Run").create(kind="evaluation", state="succeeded", policy=self.base, base_policy=live)
        evaluation = rows("rlhf.Evaluation").create(
            run=run, policy=self.base, baseline=live, judge="people", report={}
        )
        decision = rows("rlhf.Decision").create(evaluation=evaluation, passed=True)
        limits = {"level": 0.05, "people": 10, "days": 14, "hours": 24, "pairs_percent": 25, "undecided": "withdraw"}
        until = self.now + timedelta(days=14)
        rows("rlhf.Canary").create(policy=self.base, decision=decision, percent=10, limits=limits, until=until)
        rows("chat.ShareOfChats").create(policy=self.base, percent=10, pairs_percent=25, salt="0" * 16)

    def agree(self) -> None:
        """To the words that an admin wrote, about which everybody was asked anew."""
        rows("accounts.ConsentText").create(
            number=2, text_en="Others read it.", text_ko="다른 사람이 읽습니다.", created_by=self.admin
        )
        rows("accounts.Consent").create(person=self.chatter, version=2)
        rows("accounts.AuditCheck").create(at=self.now, sequence=0, signature="0" * 64)

    # --- talking --------------------------------------------------------------------------------------------

    def talk(self) -> None:
        rows("chat.SiteChoices").update_or_create(id=1, defaults={"side_by_side_percent": 10})
        assistant = rows("chat.Assistant").create(
            owner=self.chatter,
            name="새 박사",
            system_prompt="Answer in one sentence.",
            examples=[{"user": "Hi", "assistant": "Hello."}],
            parameters={"temperature": 0.2},
            policy=self.base,
        )
        self.conversation = rows("chat.Conversation").create(
            owner=self.chatter, title="Birds", may_train=True, assistant=assistant
        )
        self.asked = self.say(GREETING)
        self.reply = self.answer(self.asked, ["They sing ", "to find", " a mate."])
        self.conversation.tip = self.reply.message
        self.conversation.save()
        if "personalinstructions" in apps.all_models["chat"]:  # since 0.3
            rows("chat.PersonalInstructions").create(owner=self.chatter, about="새를 연구합니다.", manner="Be brief.")
        rows("chat.SharedLink").create(
            conversation=self.conversation, tip=self.reply.message, token=hashlib.sha256(b"link").hexdigest()
        )

    def say(self, text: str, parent: Any = None) -> Any:
        return rows("chat.Message").create(conversation=self.conversation, parent=parent, role="user", text=text)

    def answer(self, question: Any, chunks: Sequence[str]) -> Any:
        """A reply that has ended, with its chunks and its bill."""
        message = rows("chat.Message").create(
            conversation=self.conversation, parent=question, role="assistant", text="".join(chunks)
        )
        reply = rows("chat.Reply").create(
            message=message,
            policy=self.base,
            state="complete",
            parameters={"temperature": 0.7},
            preamble=[{"role": "system", "content": "Answer in one sentence."}],
            finish_reason="stop",
            last_seq=len(chunks),
            prompt_tokens=20,
            completion_tokens=9,
            started_at=self.now,
            first_token_at=self.now,
            ended_at=self.now,
        )
        for seq, text in enumerate(chunks, start=1):
            rows("chat.Chunk").create(reply=reply, seq=seq, text=text)
        self.bill(f"reply:{reply.pk}", "chat")
        return reply

    def bill(self, ref: str, kind: str, key: Any = None) -> None:
        rows("metering.Usage").create(
            ref=ref,
            user=self.chatter,
            key=key,
            kind=kind,
            model=self.base.name,
            prompt_tokens=20,
            completion_tokens=9,
            priced_as="*",
            prompt_price=2,
            completion_price=4,
            cost=20 * 2 + 9 * 4,
        )

    # --- judging --------------------------------------------------------------------------------------------

    def judge(self) -> None:
        for split, count in RANKINGS.items():
            for number in range(count):
                self.rank(prompt(number, split), number)
        for number in range(UNRANKED_HELD_OUT):
            prompt(100 + number, "held_out")
        self.rank(prompt(200, "train"), 0, self.robot)
        self.rank(self.prompt_of_conversation(), 1)
        waiting = rows("feedback.RankingTask").create(prompt=prompt(201, "train"), policy=self.base)
        rows("feedback.Skip").create(task=waiting, annotator=self.annotator, reason="unclear")
        if exists("feedback.Assignment"):
            rows("feedback.Assignment").create(task=waiting, annotator=self.robot, lease_until=timezone.now())
        rows("feedback.Thumb").create(
            message=self.reply.message, person=self.chatter, is_up=True, reasons=["clear"], comment="고마워요"
        )

        if exists("config.SchedulerLease"):
            rows("config.SchedulerLease").create(owner="", last_sent={})
        if exists("feedback.TaskRefill"):
            self.make_tasks(waiting.prompt)

    def make_tasks(self, of: Any) -> None:
        rows("feedback.TaskRefill").create(owner="", done=0, wanted=0)
        reply = {"text": COMPLETIONS[0], "finish_reason": "stop", "prompt_tokens": 9, "completion_tokens": 6}
        rows("feedback.UnjudgedSet").create(simulation="0" * 64, number=0, prompt=of, completions=[reply])

        if exists("feedback.BlindPair"):
            self.make_blind_pair(of)

    def make_blind_pair(self, of: Any) -> None:
        """Of a round that is over."""
        now = timezone.now()
        asked = rows("feedback.ComparisonRound").create(
            candidate=self.base,
            baseline=self.base,
            deadline=now,
            most_of_one=1,
            closed_at=now,
            closed_because="deadline",
        )
        task = rows("feedback.RankingTask").create(prompt=of, policy=self.base, state="withdrawn")
        made = [
            rows("feedback.Completion").create(task=task, index=index, text=text, finish_reason="stop")
            for index, text in enumerate(COMPLETIONS[:2])
        ]
        rows("feedback.BlindPair").create(
            round=asked, task=task, candidate=made[1], prompt_number=0, draw=0, predicted=0.5
        )

    def prompt_of_conversation(self) -> Any:
        return prompt(202, "train", GREETING, source="conversation", message=self.asked)

    def rank(self, its_prompt: Any, number: int, person: Any = None) -> None:
        """The best completion is another each time; every completion is flagged or seen to break no rule."""
        person = person or self.annotator
        task = rows("feedback.RankingTask").create(prompt=its_prompt, policy=self.base, state="done")
        texts = [f"{text} {number}" for text in COMPLETIONS]
        made = [
            rows("feedback.Completion").create(task=task, index=index, text=text, finish_reason="stop")
            for index, text in enumerate(texts)
        ]
        ranks = {str(completion.pk): (index + number) % 3 + 1 for index, completion in enumerate(made)}
        ranking = rows("feedback.Ranking").create(
            task=task, annotator=person, ranks=ranks, shown_order=list(ranks), is_simulated=person.is_simulated
        )
        for completion in made:
            self.flag(completion=completion, ranking=ranking, person=person)

    def flag(self, person: Any, **of: Any) -> None:
        text = of["completion"].text
        rows("feedback.Violation").create(
            rule_version=self.rule_version,
            annotator=person,
            is_violation="I feel" in text,
            is_simulated=person.is_simulated,
            **of,
        )

    def choose_between_two(self) -> None:
        question = self.say("Do birds\tdream?", self.reply.message)
        left, right = self.answer(question, ["Yes, of songs."]), self.answer(question, ["No", "."])
        pair = rows("chat.Pair").create(message=question, left=left, right=right, revealed_at=self.now)
        rows("feedback.Comparison").create(pair=pair, annotator=self.chatter, choice="left", seconds=3.5)

    def moderate(self) -> None:
        rows("feedback.BlockedPhrase").create(rule=self.rule_version.rule, phrase="my body")
        rows("feedback.Report").create(
            message=self.reply.message, reporter=self.chatter, rule_version=self.rule_version, comment="Is it so?"
        )

    def work_on_projects(self) -> None:
        """A project with a member who came by a link, guidelines of its own, and a choice between two policies."""
        project = rows("feedback.Project").create(key="birds", title="새", overlap=3, created_by=self.admin)
        rows("feedback.ProjectPrompt").create(project=project, prompt=prompt(300, "train"), tags=["birds"])
        link = rows("feedback.ProjectInvitation").create(
            project=project, expires_at=self.now, max_uses=40, uses=1, created_by=self.admin
        )
        rows("feedback.ProjectMember").create(
            project=project, person=self.annotator, languages=["ko"], invitation=link
        )
        rows("feedback.ProjectChoice").create(person=self.annotator, project=project)
        rows("feedback.Guidelines").create(
            number=rows("feedback.Guidelines").count() + 2,
            project=project,
            text_en="*Read* all.",
            text_ko="다 읽어요.",
        )
        rows("feedback.JudgingChoices").create(annotator=self.annotator, left_out_rules=[RULE], harmful_a_day=5)
        rows("feedback.Vote").create(
            comparison=rows("feedback.Comparison").get(),
            left=self.base,
            right=self.base,
            score=1,
            language="en",
            length=0.1,
            lists=0,
            headings=0,
            bold=0,
            at=self.now,
        )

    def trust_annotators(self) -> None:
        ranking = rows("feedback.Ranking").filter(annotator=self.annotator).first()
        rows("feedback.GoldAnswer").create(task=ranking.task, ranks=ranking.ranks, flags={RULE: []})
        rows("feedback.AnnotatorTrust").create(person=self.annotator, weight=0.5, reason="accuracy")
        rows("feedback.TrustFinding").create(
            person=self.annotator,
            kind="speed",
            figure=0.5,
            threshold=0.1,
            count=30,
            state="cleared",
            decided_by=self.admin,
            decided_at=self.now,
            reason="그냥 빨라요.",
        )

    def ask_and_probe(self) -> None:
        """An answer to a project's question, a probe that nobody has taken, a webhook, and a lesson."""
        project = rows("feedback.Project").create(key="rated", question="rate", attributes=["truth"])
        task = rows("feedback.RankingTask").create(prompt=prompt(301, "train"), project=project, state="done")
        said = rows("feedback.Completion").create(task=task, index=0, text="It is", finish_reason="stop")
        rows("feedback.TaskAnswer").create(
            task=task, annotator=self.annotator, said={"ratings": {str(said.pk): {"truth": 6}}}, shown_order=[said.pk]
        )
        rows("feedback.Probe").create(policy=self.base, rule=self.rule_version.rule, created_by=self.admin)
        hook = rows("feedback.Webhook").create(
            name="Watcher", url="https://example.org/hook", secret="", is_on=False, created_by=self.admin
        )
        rows("feedback.WebhookDelivery").create(webhook=hook, key="0", event="thumb", body="{}", state="failed")
        rows("lecture.Lesson").create(owner=self.admin, source="/nowhere/text.txt", title="새")

    def store_agreement(self) -> None:
        """After the training, which computes it anew: nobody here judged what another judged."""
        project = rows("feedback.Project").get(key="birds")
        rows("feedback.AgreementFigure").create(project=project, people=3, units=12, alpha=0.4, low=0.2, high=0.6)

    def import_judgements(self) -> None:
        elsewhere = rows("accounts.User").create_user("imported-1")
        rows("feedback.ImportedAnnotator").create(user=elsewhere, source="hh-rlhf", key="0" * 16)
        imported = rows("feedback.Import").create(
            format="hh-rlhf",
            name="pairs.jsonl",
            sha256="0" * 64,
            project=rows("feedback.Project").get(key="birds"),
            lines_done=1,
            thumbs=1,
            left_out=[[2, "empty", ""]],
            created_by=self.admin,
        )
        rows("feedback.CompletionThumb").create(
            completion=rows("feedback.Completion").first(), annotator=elsewhere, is_up=True, imported=imported
        )

    def moderate_at_volume(self) -> None:
        message = self.reply.message
        rows("feedback.Claim").create(message=message, moderator=self.admin, until=self.now)
        rows("feedback.ModeratorNote").create(account=self.chatter, author=self.admin, text="처음이에요.")
        rows("feedback.GivenWarning").create(person=self.chatter, given_by=self.admin, text="Be kind.")
        rows("feedback.Review").create(account=self.chatter, outcome="fine", moderator=self.admin)

    # --- looking inside, programs, own models -----------------------------------------------------------------

    def look_inside(self) -> None:
        tokens = [{"id": 5, "text": "They", "logprob": -0.5, "top": []}]
        rows("chat.TokenView").create(reply=self.reply, state="ready", tokens=tokens)
        if exists("chat.Choice"):
            choice = rows("chat.Choice").create(reply=self.reply, best_of=2, outcome="chosen", sampling_ms=900)
            rows("chat.Candidate").create(
                choice=choice, number=0, text=self.reply.message.text, is_chosen=True, reason="best"
            )
        rows("chat.Scoring").create(user=self.chatter, policy=self.base, ids=[1, 5, 6], state="ready", tokens=tokens)

    def use_keys(self) -> None:
        run("create_api_key", self.chatter.username, "--name", "script")
        key = rows("accounts.ApiKey").get()
        engine = rows("chat.EngineProcess").create(
            policy=self.base, state="dead", url="http://127.0.0.1:1/v1", is_default=True, ready_at=self.now
        )
        rows("chat.ModelServer").create(url="http://127.0.0.1:2/v1", state="down", listed=["base"], seen_at=self.now)
        ticket = rows("chat.Ticket").create(
            user=self.chatter,
            key=key,
            policy=self.base,
            engine=engine,
            state="ended",
            lease_until=self.now,
            granted_at=self.now,
            ended_at=self.now,
        )
        self.bill(f"ticket:{ticket.pk}", "api", key)
        rows("metering.Price").update_or_create(model="*", defaults={"training": 8, "prompt": 2, "completion": 4})
        rows("metering.Budget").create(user=self.chatter, period="month", limit=10**12)
        rows("metering.Budget").create(key=key, period="day", limit=10**11)
        rows("api.Alias").update_or_create(name="davinci", defaults={"policy": self.base})

    def fine_tune(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "islands.jsonl"
            file.write_text("".join(examples()), encoding="utf-8")
            run("fine_tune", str(file), "--user", self.chatter.username, "--epochs", "1", "--suffix", "island")


def people() -> Iterable[Any]:
    chatter = rows("accounts.User").create_user("chatter", "chatter@example.org", language="ko")
    chatter.user_permissions.add(rows("auth.Permission").order_by("pk").first())
    annotator = rows("accounts.User").create_user("annotator")
    annotator.groups.add(rows("auth.Group").get_or_create(name="annotator")[0])
    robot = rows("accounts.User").create_user("simulated-1", is_simulated=True)
    rows("feedback.SimulatedAnnotator").create(
        user=robot,
        preference="feedback.preferences:shorter",
        flags={RULE: "feedback.preferences:claims_a_body"},
        noise=0.1,
        held_out_noise=0.1,
        tie_margin=0.25,
        seed=2**40,
    )
    return chatter, annotator, rows("accounts.User").create_superuser("admin"), robot


def rule() -> Any:
    made = rows("feedback.Rule").create(key=RULE, group="honesty")
    return rows("feedback.RuleVersion").create(
        rule=made,
        number=1,
        name_en="No body",
        name_ko="몸이 없음",
        text_en="Do not claim to feel.",
        text_ko="느낀다고 말하지 않습니다.",
        allowed_examples=[{"en": "I am a program.", "ko": "저는 프로그램이에요."}],
    )


def prompt(number: int, split: str, text: str = "What is rainbow number {}?", **fields: Any) -> Any:
    messages = [{"role": "user", "content": f"{text.format(number)} ({split})"}]
    sha256 = hashlib.sha256(json.dumps(messages).encode()).hexdigest()
    return rows("feedback.Prompt").create(messages=messages, sha256=sha256, split=split, **fields)


def make_live(policy: Any, admin: Any) -> None:
    """A policy that the gate refused is made live by an admin's word: two iterations need not make it better."""
    if not policy.is_live:
        run("promote_policy", policy.name, "--force", "--by", admin.username, "--reason", "for the upgrade's test")


def examples() -> Iterable[str]:
    for number in range(12):
        line = {"prompt": f"Island {number} ->", "completion": f" It has {number} lighthouses.\n"}
        yield json.dumps(line, ensure_ascii=False) + "\n"


# --- as a program -------------------------------------------------------------------------------------------------


def greedy_answer(directory: Path, most_tokens: int = 16) -> dict[str, Any]:
    """What transformers, which shares no code with the site, answers with this policy."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    asked = tokenizer(GREETING, return_tensors="pt")
    made = model.generate(**asked, do_sample=False, max_new_tokens=most_tokens)[0].tolist()
    ids = asked["input_ids"][0].tolist()
    return {"prompt": ids, "answer": made[len(ids) :]}


def main(folder: str) -> None:
    """`folder` is given a base policy and, once the site is full, `answer.json`: what its live policy answers."""
    from tests.tiny import make_tiny_policy

    fill(make_tiny_policy(Path(folder) / "base", vocabulary=320, hidden=32, layers=2, scale=0.4))
    if empty := empty_tables():
        sys.exit(f"no row in {', '.join(empty)}")
    directory = rows("chat.Policy").get(is_live=True).directory
    answer = greedy_answer(Path(os.environ["CHAMSAE_HOME"]) / "models" / directory)
    (Path(folder) / "answer.json").write_text(json.dumps({"directory": directory, **answer}))
