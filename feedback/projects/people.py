"""The people of a project: added by a list of usernames, changed and removed."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.audit import record
from accounts.models import User
from accounts.roles import PROJECT_ANNOTATORS, Role
from feedback.judgements import assignments
from feedback.models import Assignment, Project, ProjectChoice, ProjectInvitation, ProjectMember
from feedback.programs import is_measured
from feedback.projects import access
from feedback.projects.errors import BadLanguages, LineError, NotAMember, PeopleRefused
from feedback.projects.languages import read_codes

MAX_PEOPLE = 1000
COLUMNS = ("username", "role", "languages")


@dataclass(frozen=True)
class PersonLine:
    line: int
    username: str
    role: str = ProjectMember.Role.ANNOTATOR
    languages: list[str] = field(default_factory=list)


def read(text: str) -> list[PersonLine]:
    """CSV: username, role (annotator or lead; none: annotator) and languages with spaces or semicolons between them.
    The first line may name these columns. Raises PeopleRefused."""
    found: list[PersonLine] = []
    wrong: list[LineError] = []
    known: set[str] = set()
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), strict=True)
    try:
        for cells in rows:
            names = [cell.strip() for cell in cells]
            if any(names) and not (rows.line_num == 1 and names[0].lower() == COLUMNS[0]):
                _read_line(rows.line_num, names, known, found, wrong)
    except csv.Error:
        wrong.append(LineError(rows.line_num, _("This is not CSV: a quotation mark is missing or out of place.")))
    if len(found) > MAX_PEOPLE:
        wrong.append(LineError(0, _("There are more than %(n)d people.") % {"n": MAX_PEOPLE}))
    if wrong:
        raise PeopleRefused(wrong)
    return found


def _read_line(
    number: int, cells: Sequence[str], known: set[str], found: list[PersonLine], wrong: list[LineError]
) -> None:
    name, role, languages = [*cells, "", ""][:3]
    try:
        if len(cells) > len(COLUMNS):
            raise BadLanguages(_("A line has a username, a role and languages, and nothing more."))
        if role and role not in ProjectMember.Role.values:
            raise BadLanguages(_("A role has to be annotator or lead."))
        if not name or "\0" in name or len(name) > 150:
            raise BadLanguages(_("A username is missing or is none."))
        if name in known:
            raise BadLanguages(_("This username is there twice."))
        known.add(name)
        found.append(PersonLine(number, name, role or ProjectMember.Role.ANNOTATOR, read_codes(languages)))
    except BadLanguages as error:
        wrong.append(LineError(number, str(error)))


@transaction.atomic
def add(project: Project, lines: Sequence[PersonLine], *, by: User | None) -> int:
    """Adds or changes all of them, or nobody. Returns how many. Raises PeopleRefused."""
    by_name = {row.username: row for row in User.objects.filter(username__in=[line.username for line in lines])}
    usable = {name: row for name, row in by_name.items() if row.is_active and is_measured(row)}
    wrong = [LineError(line.line, _("There is no such user.")) for line in lines if line.username not in usable]
    if wrong:
        raise PeopleRefused(wrong)
    makes_leads = by is None or by.has_role(Role.ADMIN)
    for line in lines:
        _join(project, usable[line.username], line.role, line.languages, may_make=makes_leads, by=by)
    return len(lines)


def join(project: Project, person: User, by_link: ProjectInvitation) -> bool:
    """Makes the person a member by a link; false if they are one already, whatever the link says."""
    if ProjectMember.objects.filter(project=project, person=person).exists():
        return False
    _join(project, person, by_link.role, by_link.languages, may_make=False, by=person, invitation=by_link)
    return True


def _join(
    project: Project,
    person: User,
    role: str,
    languages: list[str],
    *,
    may_make: bool,
    by: User | None,
    invitation: ProjectInvitation | None = None,
) -> None:
    is_lead = role == ProjectMember.Role.LEAD
    known = ProjectMember.objects.filter(project=project, person=person).first()
    keeps = known is not None and known.may_make_projects and is_lead
    ProjectMember.objects.update_or_create(
        project=project,
        person=person,
        defaults={"role": role, "languages": languages, "may_make_projects": is_lead and (may_make or keeps)},
        create_defaults={
            "role": role,
            "languages": languages,
            "may_make_projects": is_lead and may_make,
            "invitation": invitation,
        },
    )
    _open_pages(person)
    record(
        by,
        "project.member_add",
        project,
        before={"role": known.role, "languages": known.languages} if known is not None else {},
        after={"user": person.pk, "role": role, "languages": languages},
    )


def _open_pages(person: User) -> None:
    """Lets them open the annotators' pages; of tasks they are offered those of their projects alone."""
    if not access.is_annotator_of_the_site(person):
        person.groups.add(Group.objects.get_or_create(name=PROJECT_ANNOTATORS)[0])


@transaction.atomic
def remove(project: Project, person_id: int, *, by: User | None) -> None:
    """Their judgements stay; what they work on goes back. Raises NotAMember."""
    row = ProjectMember.objects.filter(project=project, person=person_id).select_related("person").first()
    if row is None:
        raise NotAMember
    record(by, "project.member_remove", project, before={"user": person_id, "role": row.role})
    row.delete()
    ProjectChoice.objects.filter(project=project, person=person_id).delete()
    if Assignment.objects.filter(annotator=person_id, task__project=project).exists():
        assignments.release(row.person)
    if not ProjectMember.objects.filter(person=person_id).exists():
        row.person.groups.remove(*Group.objects.filter(name=PROJECT_ANNOTATORS))
