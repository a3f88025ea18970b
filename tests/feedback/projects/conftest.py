"""A lead, annotators of projects, and a project with pasted replies."""

import pytest

from accounts.roles import Role
from feedback.models import Project
from feedback.projects import people, setting_up
from feedback.projects.people import PersonLine
from feedback.projects.setting_up import ProjectPlan
from tests.feedback.projects.prompt_lines import pasted


@pytest.fixture
def project(admin):
    made, _stored = setting_up.create(
        ProjectPlan(key="course", title="Course", replies=Project.Replies.PASTED, prompts=pasted(), overlap=2),
        by=admin,
    )
    return made


@pytest.fixture
def member(project, admin, person):
    """Adds somebody without any other role to the project."""

    def add(name, role="annotator", languages=(), to=None):
        user = person(name)
        people.add(to or project, [PersonLine(1, name, role, list(languages))], by=admin)
        user.refresh_from_db()
        return user

    return add


@pytest.fixture
def lead(member):
    return member("leah", "lead")


@pytest.fixture
def other_lead(admin, person):
    other, _stored = setting_up.create(
        ProjectPlan(key="other", title="Other", replies=Project.Replies.PASTED, prompts=pasted()), by=admin
    )
    user = person("otto", Role.CHATTER)
    people.add(other, [PersonLine(1, "otto", "lead")], by=admin)
    return user
