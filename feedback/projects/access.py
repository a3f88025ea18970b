"""Who may see, lead and make which projects, and whose stream of tasks is the site's."""

from django.db.models import QuerySet

from accounts.models import User
from accounts.roles import GROUPS, Role
from feedback.models import Project, ProjectMember


def visible_to(person: User) -> QuerySet[Project]:
    """All for an admin; else those of which the person is a member, and for annotators of the site its stream."""
    if person.has_role(Role.ADMIN):
        return Project.objects.all()
    own = Project.objects.filter(members__person=person)
    return own | Project.objects.filter(key=Project.SITE) if is_annotator_of_the_site(person) else own


def may_lead(person: User, project: Project) -> bool:
    """An admin, or a lead of this project."""
    if person.has_role(Role.ADMIN):
        return True
    return ProjectMember.objects.filter(person=person, project=project, role=ProjectMember.Role.LEAD).exists()


def may_make(person: User) -> bool:
    """An admin, or a lead whom an admin made one: no link makes its holder more than a lead of one project."""
    leads = ProjectMember.objects.filter(person=person, role=ProjectMember.Role.LEAD, may_make_projects=True)
    return person.has_role(Role.ADMIN) or leads.exists()


def is_annotator_of_the_site(person: User) -> bool:
    """By their group. Members of a project alone are offered that project's tasks, and nobody's conversations."""
    of_groups = person.groups.filter(name__in=[role.value for role in GROUPS])
    return person.is_superuser or of_groups.exists()
