"""Notices: made with their act, one for each person who wants it, told in the reader's language, kept for a while."""

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone, translation

from accounts import context, notice_texts, notices
from accounts.models import Notice
from accounts.notices import Kind
from accounts.personal_data import forget_person
from accounts.roles import Role
from accounts.tasks import remove_old_notices

ADMINS_ONLY = ("gate_refused", "cycle_held_up", "webhook_disabled")

pytestmark = pytest.mark.django_db


def send(*people, kind=Kind.POLICY_PROMOTED, about="promotion:1", link="/training/promotions/1/", **told):
    with transaction.atomic():
        notices.send(kind, {one.pk: told or {"policy": "policy-2"} for one in people}, about=about, link=link)


def owners():
    return sorted(Notice.objects.values_list("person__username", flat=True))


# --- sending ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_notice_outside_of_the_transaction_of_its_act_is_refused(person):
    with pytest.raises(RuntimeError, match="transaction"):
        notices.send(Kind.POLICY_PROMOTED, {person("sora").pk: {}}, about="promotion:1")
    assert not Notice.objects.exists()


def test_an_act_that_fails_leaves_no_notice(person):
    sora = person("sora")

    @transaction.atomic
    def act():
        send(sora)
        raise IntegrityError

    with pytest.raises(IntegrityError):
        act()
    assert not Notice.objects.exists()


def test_an_act_that_is_told_twice_is_one_notice_and_another_act_another(person):
    sora = person("sora")
    send(sora)
    Notice.objects.update(read_at=timezone.now())
    send(sora)
    assert Notice.objects.get().read_at is not None, "what was read stays read"
    send(sora, about="promotion:2")
    send(sora, kind=Kind.POLICY_ROLLED_BACK)
    assert Notice.objects.count() == 3


def test_each_person_has_parameters_of_their_own(person, monkeypatch):
    monkeypatch.setattr(notices, "BATCH", 2)
    people = [person(f"p{number}") for number in range(5)]
    with transaction.atomic():
        told = {one.pk: {"policy": "policy-2", "judgements": one.pk} for one in people}
        notices.send(Kind.POLICY_PROMOTED, told, about="promotion:1")
    assert {row.person_id: row.parameters["judgements"] for row in Notice.objects.all()} == {
        one.pk: one.pk for one in people
    }


def test_programs_closed_accounts_and_those_who_do_not_want_it_get_none(person):
    leaving = person("leaving", deletion_due_at=timezone.now())
    tired = person("tired", notice_choices={"policy_promoted": False})
    send(person("sora"), person("robot", is_simulated=True), person("closed", is_active=False), leaving, tired)
    assert owners() == ["sora"]


def test_some_kinds_only_reach_those_who_asked(person):
    send(person("sora"), person("keen", notice_choices={"tasks_wait": True}), kind=Kind.TASKS_WAIT)
    assert owners() == ["keen"]


@pytest.mark.parametrize(
    ("role", "names"),
    [(Role.ANNOTATOR, "ann boss mod root"), (Role.MODERATOR, "boss mod root"), (Role.ADMIN, "boss root")],
)
def test_people_of_a_role_are_those_above_it_too_and_each_once(person, role, names):
    person("sora")
    person("ann", Role.ANNOTATOR)
    person("mod", Role.MODERATOR)
    person("boss", Role.ADMIN)
    person("root", Role.ADMIN, is_superuser=True)
    person("gone", Role.ADMIN, is_active=False)
    assert sorted(one.username for one in notices.people_of(role)) == names.split()


# --- texts --------------------------------------------------------------------------------------------------------


def test_every_kind_has_a_text_in_both_languages_from_no_more_than_its_row():
    assert set(notice_texts.TEXTS) == set(Kind.values)
    for kind in Kind.values:
        texts = {}
        for language in ("en", "ko"):
            with translation.override(language):
                texts[language] = notice_texts.text_of(kind, {})
        assert len(set(texts.values())) == 2, kind


def test_one_row_is_told_in_the_language_of_whoever_reads_it(person, browser_of):
    sora = person("sora")
    send(sora, policy="policy-2", judgements=1)
    english = browser_of(sora, **{"accept-language": "en"}).get("/notices/").content.decode()
    korean = browser_of(sora, **{"accept-language": "ko"}).get("/notices/").content.decode()
    assert "policy-2. 1 judgement of yours helped" in english
    assert "policy-2 정책 모델이 답합니다. 내 판정 1개가" in korean


def test_a_kind_of_another_version_of_the_site_is_shown_by_its_name(person, browser_of):
    sora = person("sora")
    Notice.objects.create(person=sora, kind="moon_landed", about="moon:1")
    assert "moon_landed" in browser_of(sora).get("/notices/").content.decode()


# --- the page -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sora(person):
    sora = person("sora")
    for number in (1, 2, 3):
        send(sora, about=f"promotion:{number}", policy=f"policy-{number}")
    notices.mark_read(sora.notices.filter(about="promotion:3"))
    send(person("bob"), about="promotion:4", policy="policy-of-bob")
    return sora


def listed(page):
    """Policies that the notices name, from the top."""
    return re.findall(r'<span dir="auto">[^<]*(policy-(?:\d|of-bob))', page.content.decode())


def test_the_list_is_one_s_own_the_unread_first_the_newest_first(sora, browser_of):
    assert listed(browser_of(sora).get("/notices/")) == ["policy-2", "policy-1", "policy-3"]


def test_the_list_is_filtered_and_says_when_nothing_fits(sora, browser_of):
    client = browser_of(sora)
    assert listed(client.get("/notices/?unread=on")) == ["policy-2", "policy-1"]
    assert listed(client.get("/notices/?kind=job_failed")) == []
    assert "No notice matches" in client.get("/notices/?kind=job_failed").content.decode()
    assert len(listed(client.get("/notices/?kind=no-such-kind"))) == 3


def test_opening_one_marks_it_and_goes_to_what_it_is_about(sora, browser_of):
    notice = sora.notices.get(about="promotion:1")
    response = browser_of(sora).post(f"/notices/{notice.pk}/open/")
    assert response["Location"] == "/training/promotions/1/"
    assert sorted(notices.unread(sora).values_list("about", flat=True)) == ["promotion:2"]


@pytest.mark.parametrize("link", ["https://elsewhere.example/", "//elsewhere.example/", "javascript:alert(1)", ""])
def test_opening_one_never_leads_elsewhere(sora, browser_of, link):
    notice = Notice.objects.create(person=sora, kind=Kind.JOB_FAILED, about="x", link=link)
    assert browser_of(sora).post(f"/notices/{notice.pk}/open/")["Location"] == "/notices/"


def test_a_stranger_s_notice_looks_like_none_at_all(sora, browser_of):
    foreign = Notice.objects.exclude(person=sora).get()
    for verb in ("open", "read"):
        assert browser_of(sora).post(f"/notices/{foreign.pk}/{verb}/").status_code == 404
    assert Notice.objects.get(pk=foreign.pk).read_at is None


def test_all_are_marked_up_to_the_newest_that_the_page_showed(sora, browser_of):
    newest = sora.notices.order_by("-pk").first().pk
    send(sora, about="promotion:9")
    back = browser_of(sora).post("/notices/read/", {"newest": newest, "filters": "unread=on"})
    assert back["Location"] == "/notices/?unread=on"
    assert [row.about for row in notices.unread(sora)] == ["promotion:9"]
    assert Notice.objects.exclude(person=sora).get().read_at is None
    browser_of(sora).post("/notices/read/", {"newest": "many"})
    assert notices.unread(sora).count() == 1


def test_one_is_marked_without_leaving_the_list(sora, browser_of):
    notice = sora.notices.get(about="promotion:1")
    assert browser_of(sora).post(f"/notices/{notice.pk}/read/")["Location"] == "/notices/"
    assert notices.unread(sora).count() == 1


# --- the bell -----------------------------------------------------------------------------------------------------


def test_every_page_counts_the_unread(sora, browser_of):
    client = browser_of(sora)
    assert "Notices: 2 unread" in client.get("/account/").content.decode()
    notices.mark_read(sora.notices.all())
    assert "unread" not in client.get("/account/").content.decode()


def test_the_inside_of_the_bell_comes_again_only_when_it_is_another(sora, browser_of):
    client = browser_of(sora)
    first = client.get("/notices/bell/")
    assert "Notices: 2 unread" in first.content.decode()
    assert "private" in first["Cache-Control"]
    assert client.get("/notices/bell/", headers={"if-none-match": first["ETag"]}).status_code == 304
    notices.mark_read(sora.notices.filter(about="promotion:1"))
    now = client.get("/notices/bell/", headers={"if-none-match": first["ETag"]})
    assert "Notices: 1 unread" in now.content.decode()


def test_the_count_is_one_query_by_the_index_and_none_where_nothing_shows_it(sora, django_assert_num_queries):
    request = RequestFactory().get("/")
    request.user = sora
    with django_assert_num_queries(1):
        around = context.site(request)
    with django_assert_num_queries(1) as asked:
        assert Template("{{ unread_notices }}").render(Context(around)).startswith("2")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {asked.captured_queries[-1]['sql']}")
            assert "unread_notices" in str(cursor.fetchall())


# --- choices, age, leaving ----------------------------------------------------------------------------------------


def test_one_chooses_among_the_kinds_that_one_can_get(person, browser_of):
    ann = person("ann", Role.ANNOTATOR, notice_choices=dict.fromkeys(ADMINS_ONLY, False))
    client = browser_of(ann)
    page = client.get("/account/").content.decode()
    assert 'id="notice-tasks_wait"' in page
    assert 'id="notice-gate_refused"' not in page
    client.post("/account/notices/", {"kind": ["tasks_wait", "report_decided", "gate_refused"]})
    ann.refresh_from_db()
    wanted = {kind for kind in Kind.values if notices.wants(ann, kind)}
    assert wanted == {"tasks_wait", "report_decided", "warned"}, "a kind for admins stays, and a warning always comes"


def test_what_was_read_weeks_ago_and_what_nobody_read_in_months_is_removed(person):
    sora = person("sora")
    now = timezone.now()
    for about, age, read_age in (
        ("new", 1, None),
        ("waits", 170, None),
        ("never read", 181, None),
        ("read lately", 170, 29),
        ("read long ago", 40, 31),
    ):
        read_at = None if read_age is None else now - timedelta(days=read_age)
        Notice.objects.create(
            person=sora, kind=Kind.JOB_FAILED, about=about, created_at=now - timedelta(days=age), read_at=read_at
        )
    assert remove_old_notices() == 2
    assert sorted(Notice.objects.values_list("about", flat=True)) == ["new", "read lately", "waits"]


def test_who_is_erased_leaves_none_and_no_choices(sora):
    sora.notice_choices = {"tasks_wait": True}
    sora.toured_at = timezone.now()
    forget_person(sora)
    sora.refresh_from_db()
    assert owners() == ["bob"]
    assert (sora.notice_choices, sora.toured_at) == ({}, None)
