"""Leaving: the password, the seven days, coming back; and then nothing is left that tells of the person."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts import erasure, keys, sockets
from accounts.models import AuditEntry, Notice, User
from accounts.tasks import erase_due_accounts
from base.fsck import problems
from chat import instructions
from chat.conversations import removal
from chat.models import Assistant, Candidate, Choice, Chunk, Conversation, Message, Pair, Reply, SharedLink, TokenView
from feedback import trainable
from feedback.models import (
    AnnotatorTrust,
    Assignment,
    Comparison,
    Completion,
    GivenWarning,
    JudgingChoices,
    Probe,
    Project,
    ProjectChoice,
    ProjectMember,
    Prompt,
    Ranking,
    RankingTask,
    Report,
    Skip,
    TaskAnswer,
    Thumb,
    TrustFinding,
    Violation,
)
from fine_tuning.data import uploads
from fine_tuning.jobs import events, job_directory
from fine_tuning.models import FineTune
from lecture.models import Lesson
from metering import ledger
from metering.models import Budget, Usage
from rlhf.models import Evaluation, Run, Snapshot, Source
from tests.accounts.audit_faults import faults
from tests.consenting import open_conversation
from tests.rlhf import feedback_rows

CANARY = "cAnAry-무지개-7f3a"
PASSWORD = "a long enough password"


@pytest.fixture(autouse=True)
def _fresh():
    cache.clear()


@pytest.fixture
def admin(db):
    return User.objects.create_user("boss", password=PASSWORD, is_superuser=True, is_staff=True)


@pytest.fixture
def client(db):
    person = User.objects.create_user(f"{CANARY[:6]}-me", password=PASSWORD)
    client = Client(headers={"accept-language": "en"})
    client.force_login(person)
    client.person = person
    return client


def ask_to_leave(client, password=PASSWORD):
    return client.post("/account/delete/", {"password": password})


def leave_long_ago(person):
    User.objects.filter(pk=person.pk).update(deletion_due_at=timezone.now() - timedelta(seconds=1))


# --- asking, and coming back ----------------------------------------------------------------------------------------


def test_leaving_needs_the_password(client):
    answer = ask_to_leave(client, "a wrong password")
    assert answer.status_code == 400
    assert "Wrong password" in answer.content.decode()
    client.person.refresh_from_db()
    assert client.person.deletion_due_at is None


def test_the_password_is_not_guessed_there(client):
    for _ in range(10):
        ask_to_leave(client, "a wrong password")
    answer = ask_to_leave(client)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    client.person.refresh_from_db()
    assert client.person.deletion_due_at is None


def test_who_leaves_is_signed_out_everywhere_and_sockets_are_closed(
    client, monkeypatch, django_capture_on_commit_callbacks
):
    elsewhere = Client()
    elsewhere.force_login(client.person)
    closed = []
    monkeypatch.setattr(sockets, "close", lambda person: closed.append(person.pk))
    with django_capture_on_commit_callbacks(execute=True):
        answer = ask_to_leave(client)
    assert answer["Location"] == "/sign-in/"
    assert closed == [client.person.pk]
    assert elsewhere.get("/account/").status_code == client.get("/account/").status_code == 302
    client.person.refresh_from_db()
    days = client.person.deletion_due_at - timezone.now()
    assert timedelta(days=6, hours=23) < days <= timedelta(days=7)


def test_after_signing_in_every_page_offers_to_stay(client):
    ask_to_leave(client)
    client.post("/sign-in/", {"username": client.person.username, "password": PASSWORD})
    for address in ("/", "/account/", "/links/"):
        text = client.get(address).content.decode()
        assert "Your account will be deleted on" in text
        assert 'action="/account/keep/"' in text
    assert client.post("/account/keep/")["Location"] == "/account/"
    client.person.refresh_from_db()
    assert client.person.deletion_due_at is None
    assert "will be deleted on" not in client.get("/").content.decode()
    assert list(AuditEntry.objects.order_by("id").values_list("verb", flat=True)) == ["account.leave", "account.stay"]


def test_the_only_admin_cannot_leave(admin):
    boss = Client(headers={"accept-language": "en"})
    boss.force_login(admin)
    answer = ask_to_leave(boss)
    assert (answer.status_code, "only admin" in answer.content.decode()) == (409, True)
    User.objects.create_user("second", password=PASSWORD, is_superuser=True)
    assert ask_to_leave(boss).status_code == 302


def test_nothing_is_erased_before_its_time_or_after_a_change_of_mind(client):
    ask_to_leave(client)
    assert erase_due_accounts() == 0
    leave_long_ago(client.person)
    late = User.objects.get(pk=client.person.pk)
    erasure.stay(client.person)
    erasure.erase(late)  # the task read the row before
    client.person.refresh_from_db()
    assert client.person.erased_at is None
    assert client.person.check_password(PASSWORD)


def test_words_of_somebody_who_leaves_train_no_more(client):
    talk = open_conversation(client.person)
    asked = Message.objects.create(conversation=talk, role="user", text="hi")
    Prompt.objects.create(messages=[], sha256="x", source="conversation", message=asked)
    assert trainable.prompts().count() == 1
    ask_to_leave(client)
    assert trainable.prompts().count() == 0


# --- what is left -------------------------------------------------------------------------------------------------


def pay(person):
    key, _secret = keys.make(person, CANARY, actor=person)
    ledger.record("reply:0", user=person.pk, key=key.pk, kind=Usage.Kind.API, names=["*"], prompt_tokens=7)
    Budget.objects.create(user=person, limit=1)


def live_fully(person, admin):
    """Rows of the person in every table, each text of theirs with the canary in it."""
    policy = feedback_rows.any_policy()
    person.first_name, person.email = CANARY, f"{CANARY}@example.org"
    person.save()
    LogEntry.objects.create(
        user=admin,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(person.pk),
        object_repr=f"{CANARY}",
        action_flag=CHANGE,
    )
    LogEntry.objects.create(user=person, object_repr=CANARY, action_flag=CHANGE)
    pay(person)
    learn_from(person, policy)
    Notice.objects.create(person=person, kind="job_failed", about="1", parameters={"file": CANARY})
    own = Assistant.objects.create(owner=person, name=CANARY, system_prompt=CANARY)
    instructions.store(person, CANARY, CANARY, is_on=True)
    talk = open_conversation(person, title=CANARY, assistant=own)
    asked = Message.objects.create(conversation=talk, role="user", text=f"Say {CANARY}")
    replies = []
    for _ in range(2):
        said = Message.objects.create(conversation=talk, role="assistant", text=f"{CANARY}!", parent=asked)
        replies.append(Reply.objects.create(message=said, policy=policy, state="complete", last_seq=1, prefix=CANARY))
        Chunk.objects.create(reply=replies[-1], seq=1, text=f"{CANARY}!")
        Message.objects.create(conversation=talk, role="user", text=CANARY, parent=said)
    Reply.objects.update(ended_at=timezone.now())
    Conversation.objects.filter(pk=talk.pk).update(tip=asked)
    pair = Pair.objects.create(message=asked, left=replies[0], right=replies[1], revealed_at=timezone.now())
    TokenView.objects.create(reply=replies[0], tokens=[{"text": CANARY}])
    choice = Choice.objects.create(reply=replies[0], best_of=2, outcome="chosen")
    Candidate.objects.create(choice=choice, number=0, text=CANARY, reason="best", is_chosen=True)
    SharedLink.objects.create(conversation=talk, tip=asked, token=f"token-{CANARY}")
    Thumb.objects.create(message=replies[0].message, person=person, is_up=True, comment=CANARY)
    Comparison.objects.create(pair=pair, annotator=person, choice="left")
    Report.objects.create(message=replies[0].message, reporter=person, comment=CANARY)
    flag = {"rule_version": feedback_rows.rule(), "message": replies[0].message}
    Violation.objects.create(annotator=person, **flag)
    Violation.objects.create(annotator=admin, **flag)
    return asked


def learn_from(person, policy):
    """A file of their own, and a job that was to make a model of it."""
    file = uploads.store(person, f"{CANARY}.jsonl", [f'{{"completion": "{CANARY}"}}'.encode()])
    job = FineTune.objects.create(
        owner=person,
        model="davinci",
        base_policy=policy,
        suffix=CANARY[:40],
        training_file=job_directory.describe(file),
        metadata={"about": CANARY},
        state=FineTune.State.FAILED,
        error={"code": "diverged", "message": CANARY, "param": None},
    )
    events.record(job, "failed", CANARY)
    Lesson.objects.create(owner=person, source=f"data:{file.id}", title=CANARY)


def judged_by_others(asked, admin):
    """A ranking task made of the person's message, ranked by somebody else."""
    prompt = Prompt.objects.create(
        messages=[{"role": "user", "content": asked.text}], sha256="1", source="conversation", message=asked
    )
    task = RankingTask.objects.create(prompt=prompt, policy=feedback_rows.any_policy(), state="done")
    completion = Completion.objects.create(task=task, index=0, text=f"{CANARY}?")
    return Ranking.objects.create(task=task, annotator=admin, ranks={str(completion.pk): 1})


def judge(person):
    """Judgements of the person on texts of the site."""
    ranking = feedback_rows.rank(person, 1, comment=CANARY)
    violation = feedback_rows.flag(ranking)
    Report.objects.create(completion=violation.completion, reporter=person, comment=CANARY)
    held = RankingTask.objects.create(
        prompt=feedback_rows.prompt(2),
        policy=feedback_rows.any_policy(),
        state="leased",
    )
    Assignment.objects.create(task=held, annotator=person, lease_until=timezone.now(), draft={"comment": CANARY})
    Skip.objects.create(
        task=RankingTask.objects.create(prompt=held.prompt, policy=held.policy), annotator=person, reason="other"
    )
    talk = Conversation.objects.create(owner=person, title=CANARY, may_train=True)
    Message.objects.create(conversation=talk, role="user", text=CANARY)
    Probe.objects.create(
        policy=held.policy, rule=feedback_rows.rule().rule, state="talking", prober=person, conversation=talk
    )
    TaskAnswer.objects.create(task=ranking.task, annotator=person, said={"ratings": {}}, comment=CANARY)
    written = Project.objects.create(key="written", question=Project.Question.DEMONSTRATE)
    task = RankingTask.objects.create(prompt=held.prompt, project=written)
    TaskAnswer.objects.create(task=task, annotator=person, said={"text": CANARY})
    is_told_and_measured(person)
    return ranking, held


def is_told_and_measured(person):
    """What moderators and projects know of an annotator."""
    AnnotatorTrust.objects.create(person=person)
    TrustFinding.objects.create(person=person, kind="position", figure=0.9, threshold=0.8, count=30)
    GivenWarning.objects.create(person=person, given_by=person, text=CANARY)
    JudgingChoices.objects.create(annotator=person)
    course = Project.objects.create(key="course")
    ProjectMember.objects.create(project=course, person=person)
    ProjectChoice.objects.create(project=course, person=person)


def everything_stored():
    """Every value of every table, as text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            found += [f"{table}: {row}" for row in cursor.fetchall()]
    return found


def test_the_canary_is_gone_from_every_table_and_judgements_stay_without_the_person(client, admin):
    person = client.person
    name = person.username
    asked = live_fully(person, admin)
    judged_by_others(asked, admin)
    ranking, held = judge(person)
    kept = Conversation.objects.create(owner=admin, title="of somebody else")
    leave_long_ago(person)
    assert erase_due_accounts() == 1
    assert [row for row in everything_stored() if CANARY in row or name in row] == []
    person.refresh_from_db()
    assert (person.is_active, person.has_usable_password(), person.erased_at is None) == (False, False, False)
    assert person.username.startswith("gone-")
    assert list(Conversation.objects.all()) == [kept]
    assert [(row.user, row.key, row.prompt_tokens) for row in Usage.objects.all()] == [(person, None, 7)]
    assert not Budget.objects.exists()
    ranking.refresh_from_db()
    assert (ranking.annotator, ranking.comment, ranking.violations.count()) == (person, "", 1)
    assert ranking in trainable.rankings(), "they were given to train the model"
    held.refresh_from_db()
    assert (held.state, held.assignments.count()) == ("open", 0)
    assert Client().post("/sign-in/", {"username": name, "password": PASSWORD}).status_code == 200
    assert erase_due_accounts() == 0, "once is enough"


def test_rows_of_the_person_were_in_every_exported_table_before(client, admin):
    """Else the test above proves nothing of a table that came later."""
    from accounts import personal

    asked = live_fully(client.person, admin)
    judged_by_others(asked, admin)
    judge(client.person)
    snapshot = Snapshot.objects.create(sha256="s", directory="snapshots/x", until=timezone.now())
    Source.objects.create(snapshot=snapshot, conversation=asked.conversation)
    empty = [
        table.label
        for app in personal.modules()
        for table in app.EXPORT
        if not apps.get_model(table.label)._default_manager.filter(**{table.owner: client.person.pk}).exists()
    ]
    assert empty == []


def test_audit_entries_keep_the_act_under_a_made_up_name_and_the_chain_holds(client, admin):
    person, name = client.person, client.person.username
    ask_to_leave(client)
    leave_long_ago(person)
    erase_due_accounts()
    assert faults() == []
    entries = list(AuditEntry.objects.order_by("id").values_list("verb", "actor__username", "target"))
    target = f"accounts.user:{person.pk}"
    assert [(verb, where) for verb, _who, where in entries] == [("account.leave", target), ("account.erase", target)]
    assert entries[0][1].startswith("gone-")
    assert name not in str(list(AuditEntry.objects.values()))


def test_a_change_of_an_account_is_logged_without_its_name(admin, client):
    boss = Client()
    boss.force_login(admin)
    data = {"username": "another-name", "is_active": "on", "groups": [], "suspended_reason": "", "language": ""}
    answer = boss.post(f"/admin/accounts/user/{client.person.pk}/change/", data)
    assert answer.status_code == 302, answer.content.decode()
    entry = AuditEntry.objects.get(verb="user.change")
    assert entry.before["username"] != entry.after["username"]
    assert "another-name" not in str([entry.before, entry.after])


def test_an_assistant_that_an_admin_shared_stays_with_everybody(admin, client):
    shared = Assistant.objects.create(owner=client.person, name="For all", is_shared=True)
    leave_long_ago(client.person)
    erase_due_accounts()
    shared.refresh_from_db()
    assert shared.owner.username.startswith("gone-")


def test_while_a_reply_is_being_written_the_rest_waits(client):
    asked = Message.objects.create(
        conversation=Conversation.objects.create(owner=client.person), role="assistant", text=""
    )
    reply = Reply.objects.create(message=asked, state="streaming")
    other = User.objects.create_user("other")
    leave_long_ago(client.person)
    leave_long_ago(other)
    assert erase_due_accounts() == 1, "one that waits holds up no other"
    assert User.objects.filter(username=client.person.username).exists()
    Reply.objects.filter(pk=reply.pk).update(state="stopped")
    assert erase_due_accounts() == 1


def test_sessions_of_the_person_are_gone_and_others_stay(client, admin):
    boss = Client()
    boss.force_login(admin)
    leave_long_ago(client.person)
    erase_due_accounts()
    assert Session.objects.count() == 1
    assert boss.get("/account/").status_code == 200


# --- what was trained on -------------------------------------------------------------------------------------------


@pytest.fixture
def trained(client, admin):
    """A snapshot with the person's words, a run on it, and a report that quotes them."""
    asked = live_fully(client.person, admin)
    snapshot = Snapshot.objects.create(sha256="s" * 64, directory="snapshots/leaving", until=timezone.now())
    snapshot.path.mkdir(parents=True, exist_ok=True)
    (snapshot.path / "prompts.jsonl").write_text(asked.text)
    Source.objects.create(snapshot=snapshot, conversation=asked.conversation)
    policy = feedback_rows.any_policy()
    samples = [{"prompt": asked.text, "after": "x"}, {"prompt": "What is a rainbow?", "after": "y"}]
    run = Run.objects.create(
        kind="evaluation",
        state="succeeded",
        snapshot=snapshot,
        policy=policy,
        base_policy=policy,
        result={"samples": samples},
    )
    Evaluation.objects.create(
        run=run, policy=policy, baseline=policy, judge="people", report={"samples": samples, "worst": samples}
    )
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "result.json").write_text(f'{{"samples": [{{"prompt": "{asked.text}"}}], "win_rate": 0.5}}')
    return snapshot, run


def test_snapshots_with_their_words_are_removed_and_reports_no_longer_quote_them(
    client, trained, django_capture_on_commit_callbacks
):
    snapshot, run = trained
    leave_long_ago(client.person)
    with django_capture_on_commit_callbacks(execute=True):
        erase_due_accounts()
    assert not snapshot.path.exists()
    snapshot.refresh_from_db()
    assert snapshot.erased_at is not None
    assert snapshot.sha256 == "s" * 64
    report = Evaluation.objects.get(run=run).report
    for table in ("samples", "worst"):
        assert [sample["prompt"] for sample in report[table]] == ["What is a rainbow?"]
    assert CANARY not in (run.path / "result.json").read_text()
    assert "win_rate" in (run.path / "result.json").read_text()
    assert [row for row in everything_stored() if CANARY in row] == []
    assert [problem for problem in problems() if problem.promise == 7] == [], (
        "a snapshot that was erased is no damage"
    )


def test_a_run_on_their_words_is_not_pulled_away_under_its_feet(client, trained):
    snapshot, run = trained
    Run.objects.filter(pk=run.pk).update(state="running")
    leave_long_ago(client.person)
    assert erase_due_accounts() == 0
    assert snapshot.path.exists()
    assert Conversation.objects.filter(owner=client.person).exists()


# --- deleted conversations -----------------------------------------------------------------------------------------


def test_a_conversation_deleted_weeks_ago_is_removed_and_a_fresher_one_can_be_restored(client, admin):
    asked = live_fully(client.person, admin)
    judged_by_others(asked, admin)
    Conversation.objects.update(deleted_at=timezone.now() - removal.KEPT - timedelta(minutes=1))
    fresh = Conversation.objects.create(
        owner=client.person, deleted_at=timezone.now() - removal.KEPT + timedelta(minutes=1)
    )
    kept = Conversation.objects.create(owner=client.person)
    assert removal.remove_deleted() == 1
    assert set(Conversation.objects.all()) == {fresh, kept}
    assert not Prompt.objects.filter(source="conversation").exists()
    assert client.post(f"/c/{fresh.pk}/restore/").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_the_canary_is_gone_from_the_file_too():
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL removes dead rows by its own vacuum")
    person = User.objects.create_user("leaver", password=PASSWORD)
    talk = Conversation.objects.create(owner=person, title=CANARY)
    Message.objects.bulk_create(Message(conversation=talk, role="user", text=f"{CANARY} " * 50) for _ in range(200))
    path = Path(settings.DATABASES["default"]["NAME"])
    erasure.truncate_journal()
    assert CANARY.encode() in path.read_bytes(), "it was there"
    leave_long_ago(person)
    assert erase_due_accounts() == 1
    stored = b"".join(Path(f"{path}{end}").read_bytes() for end in ("", "-wal"))
    assert CANARY.encode() not in stored
