"""The pages of projects: what a member, a lead, a lead of another project, an admin and an outsider may do."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.roles import Role
from feedback.models import Project, ProjectInvitation, ProjectMember
from feedback.projects import access, invitations
from feedback.projects.errors import LinkInvalid
from tests.people import PASSWORD

LEADS_ALONE = (
    "change",
    "prompts",
    "stop",
    "resume",
    "clone",
    "people",
    "people/1/remove",
    "invitations",
    "invitations/1/revoke",
)


def statuses(client, *paths, method="post"):
    return {path: getattr(client, method)(f"/projects/course/{path}").status_code for path in paths}


def test_an_outsider_sees_no_project(project, annotator, other_lead, signed_in):
    for outsider in (annotator, other_lead):
        client = signed_in(outsider)
        assert client.get("/projects/course/").status_code == 404
        assert client.post("/projects/course/first/").status_code == 404
        assert "Course" not in client.get("/projects/").content.decode()
        assert set(statuses(client, *(f"{path}/" for path in LEADS_ALONE)).values()) == {404}


def test_a_member_sees_it_and_changes_nothing(project, member, signed_in):
    client = signed_in(member("mia"))
    page = client.get("/projects/course/").content.decode()
    assert "Course" in page
    assert "Add prompts" not in page
    assert set(statuses(client, *(f"{path}/" for path in LEADS_ALONE)).values()) == {404}
    assert client.get("/projects/new/").status_code == 404
    assert Project.objects.get(key="course").state == "open"


def test_a_lead_does_for_their_project_what_an_admin_may(project, member, lead, person, signed_in):
    client = signed_in(lead)
    assert "Add prompts" in client.get("/projects/course/").content.decode()
    person("kim")
    assert client.post("/projects/course/people/", {"names": "kim,annotator,ko"}).status_code == 302
    assert ProjectMember.objects.get(person__username="kim").languages == ["ko"]
    assert client.post("/projects/course/stop/").status_code == 302
    assert client.post("/projects/course/clone/", {"key": "next", "title": "Next"}).status_code == 302
    assert ProjectMember.objects.get(project__key="next", person=lead).role == "lead"
    assert client.post("/projects/other/stop/").status_code == 404
    verbs = set(AuditEntry.objects.filter(actor=lead).values_list("verb", flat=True))
    assert verbs == {"project.member_add", "project.stop", "project.clone"}


def test_a_lead_made_by_a_lead_leads_that_project_alone(project, lead, person, signed_in):
    second = person("second")
    signed_in(lead).post("/projects/course/people/", {"names": "second,lead"})
    assert access.may_lead(second, project)
    assert not access.may_make(second)
    assert signed_in(second).post("/projects/course/clone/", {"key": "x", "title": "X"}).status_code == 404


def new(**fields):
    form = {"title": "Course 2", "key": "course-2", "replies": "pasted", "completions_per_task": 4, "overlap": 2}
    return {**form, "languages": "", "deadline": "", "people": "", "text": "", "side": "", **fields}


def test_an_admin_makes_a_project_from_a_file(admin, person, signed_in):
    person("kim"), person("lee")
    csv = b"prompt,reply_1,reply_2\nIs the sea salty?,Yes.,No.\n"
    form = new(file=SimpleUploadedFile("prompts.csv", csv), people="kim\nlee,lead,ko en\n")
    assert signed_in(admin).post("/projects/new/", form).headers["Location"] == "/projects/course-2/"
    made = Project.objects.get(key="course-2")
    assert (made.tasks.count(), made.tasks.get().overlap) == (1, 2)
    assert set(made.members.values_list("person__username", "role")) == {("kim", "annotator"), ("lee", "lead")}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": '{"prompt": "x"}\n{"prompt": '}, "Line 2"),
        ({"text": '{"prompt": "x", "replies": ["a", "b"]}', "people": "kim,boss"}, "Line 1"),
        ({"text": '{"prompt": "x", "replies": ["a", "b"]}', "people": "nobody-here"}, "There is no such user"),
        ({"text": '{"prompt": "x", "replies": ["a", "b"]}', "key": "course"}, "Another project has this key"),
        ({"text": '{"prompt": "x", "replies": ["a", "b"]}', "languages": "English"}, "codes of languages"),
        (
            {"text": '{"prompt": "x", "replies": ["a", "b"]}', "languages": "ko, ja"},
            "which the project does not have",
        ),
        ({}, "There is no prompt in it"),
        ({"replies": "policy", "text": "x"}, "Choose the model"),
    ],
)
def test_what_is_wrong_stands_on_the_page_and_nothing_is_made(project, admin, signed_in, fields, words):
    response = signed_in(admin).post("/projects/new/", new(**fields))
    assert (response.status_code, words in response.content.decode()) == (400, True)
    assert Project.objects.exclude(key="site").count() == 1


def test_hostile_titles_and_prompts_are_text(project, admin, signed_in):
    Project.objects.update(title="<script>alert(1)</script>")
    page = signed_in(admin).get("/projects/course/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_list_asks_as_often_for_many_projects(project, admin, signed_in, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = signed_in(admin)
    client.get("/projects/")
    with CaptureQueriesContext(connection) as few:
        client.get("/projects/")
    Project.objects.bulk_create(Project(key=f"p{n}", title=f"P {n}") for n in range(20))
    with django_assert_num_queries(len(few)):
        client.get("/projects/")


# --- links ----------------------------------------------------------------------------------------


@pytest.fixture
def link(project, admin):
    def make(**fields):
        values = {"role": "annotator", "languages": ["ko"], "max_uses": 1, **fields}
        expires = values.pop("expires_at", timezone.now() + timedelta(days=1))
        made = invitations.invite(project, values["role"], values["languages"], expires, values["max_uses"], by=admin)
        return made, invitations.path_of(made)

    return make


def account(name):
    return {"username": name, "password1": PASSWORD, "password2": PASSWORD}


def test_a_new_account_by_a_link_annotates_that_project_alone(project, link, client, settings):
    settings.SIGN_UP_OPEN = False
    _made, path = link()
    assert "Course" in client.get(path).content.decode()
    assert client.post(path, account("mia")).headers["Location"] == "/projects/course/"
    mia = User.objects.get(username="mia")
    row = ProjectMember.objects.get(person=mia)
    assert (row.role, row.languages, row.may_make_projects) == ("annotator", ["ko"], False)
    assert not access.is_annotator_of_the_site(mia)
    assert Role.MODERATOR not in mia.roles()
    assert AuditEntry.objects.get(verb="project.member_add").after["user"] == mia.pk
    assert client.get("/rank/").status_code == 200


def test_a_used_up_expired_revoked_or_forged_link_opens_nothing(project, link, client, admin):
    used, path = link()
    client.post(path, account("first"))
    client.logout()
    late = link(expires_at=timezone.now() - timedelta(seconds=1))[1]
    revoked, revoked_path = link()
    invitations.revoke(project, revoked.pk, by=admin)
    for bad in (path, late, revoked_path, f"/projects/join/{used.pk}:forged/", "/projects/join/none/"):
        assert client.get(bad).status_code == 404
        assert client.post(bad, account("second")).status_code == 404
    assert not User.objects.filter(username="second").exists()
    assert ProjectInvitation.objects.get(pk=used.pk).uses == 1


def test_a_member_uses_nothing_up_and_keeps_their_role(project, link, lead, signed_in):
    made, path = link()
    signed_in(lead).post(path)
    made.refresh_from_db()
    assert made.uses == 0
    assert ProjectMember.objects.get(person=lead).role == "lead"


def test_a_lead_by_a_link_makes_no_other_project(project, link, person):
    _made, path = link(role="lead")
    user = person("luca")
    assert invitations.accept(path.rstrip("/").rpartition("/")[2], user) == project
    assert access.may_lead(user, project)
    assert not access.may_make(user)
    with pytest.raises(LinkInvalid):
        invitations.accept(path.rstrip("/").rpartition("/")[2], person("late"))
