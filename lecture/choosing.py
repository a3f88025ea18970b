"""Which text a page of the lecture is about, and what its reader may have taught."""

from django.http import HttpRequest

from accounts.models import User
from accounts.requests import person
from accounts.roles import Role
from lecture import taught, teaching, titles
from lecture.models import Lesson


def chosen(request: HttpRequest) -> tuple[Lesson | None, list[Lesson]]:
    """The text that the address names, else the newest that can be read; and all that the reader may choose."""
    lessons = list(taught.for_reader(person(request)))
    named = next((lesson for lesson in lessons if str(lesson.pk) == request.GET.get("lesson")), None)
    ready = next((lesson for lesson in lessons if lesson.is_ready), None)
    return named or ready or next(iter(lessons), None), lessons


def teaching_context(reader: User, lesson: Lesson | None) -> dict[str, object]:
    """For the form of admins, and the note on what is being taught now."""
    run = lesson.run if lesson is not None else None
    is_admin = reader.has_role(Role.ADMIN)
    return {
        "run": run if run is not None and not (lesson is not None and lesson.is_ready and not run.is_live) else None,
        "may_teach": is_admin,
        "own_texts": teaching.texts().titles(reader) if is_admin else [],
        "families": titles.FAMILIES.items(),
        "minutes": teaching.MINUTES,
        "most_minutes": teaching.MOST_MINUTES,
    }
