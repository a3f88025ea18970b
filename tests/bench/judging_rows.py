"""Fills the database of `make bench ARGS=judging`: people, judged tasks, tasks that wait, sessions of workers.

Run as a process in the site's environment: `python -m tests.bench.judging_rows JUDGEMENTS WAITING WORKERS`. Its last
line of output is a list with the cookie of each worker's session.
"""

import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

OVERLAP, PEOPLE, REPLIES = 3, 200, 4
AT_ONCE = 2000
TEXT = "The harbour of the town is old, and the lighthouse beside it is older still. "


def main(arguments: Sequence[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    judgements, waiting, workers = map(int, arguments)
    names = fill(judgements, waiting, workers)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as PostgreSQL does by itself after a while
    sys.stdout.write(json.dumps(names) + "\n")
    return 0


def fill(judgements: int, waiting: int, workers: int) -> list[str]:
    """The judgements are spread over many people; nobody of the workers has judged before."""
    from accounts.models import User
    from feedback import seed
    from feedback.models import Project, RankingTask

    seed.load()
    project, _ = Project.objects.get_or_create(key=Project.SITE)
    people = User.objects.bulk_create(User(username=f"judge-{number}") for number in range(PEOPLE))
    for start in range(0, judgements, AT_ONCE * OVERLAP):
        _judged(project.pk, min(AT_ONCE, (judgements - start) // OVERLAP or 1), start, people)
    for start in range(0, waiting, AT_ONCE):
        _tasks(project.pk, min(AT_ONCE, waiting - start), judgements + start, RankingTask.State.OPEN)
    return [_session(f"worker-{number}") for number in range(workers)]


def _tasks(project: int, count: int, first: int, state: str) -> list[Any]:
    """With their replies."""
    from feedback.models import Completion, Prompt, RankingTask
    from feedback.prompts import digest

    turns = [[{"role": "user", "content": f"How old is harbour number {first + n}?"}] for n in range(count)]
    prompts = Prompt.objects.bulk_create(
        Prompt(messages=one, sha256=digest(one), source=Prompt.Source.PROJECT) for one in turns
    )
    done = OVERLAP if state == RankingTask.State.DONE else 0
    tasks = RankingTask.objects.bulk_create(
        RankingTask(prompt=row, project_id=project, overlap=OVERLAP, state=state, judgements=done) for row in prompts
    )
    Completion.objects.bulk_create(
        Completion(task=task, index=index, text=TEXT * (index + 1), finish_reason="stop")
        for task in tasks
        for index in range(REPLIES)
    )
    return tasks


def _judged(project: int, count: int, first: int, people: Sequence[Any]) -> None:
    from feedback.models import Completion, Ranking, RankingTask

    tasks = _tasks(project, count, first, RankingTask.State.DONE)
    ids: dict[int, list[int]] = {}
    for task, pk in Completion.objects.filter(task__in=[task.pk for task in tasks]).values_list("task", "pk"):
        ids.setdefault(task, []).append(pk)
    Ranking.objects.bulk_create(_rankings(tasks, ids, people))


def _rankings(tasks: Sequence[Any], ids: dict[int, list[int]], people: Sequence[Any]) -> Iterator[Any]:
    from feedback.models import Ranking

    draw = random.Random(tasks[0].pk)
    for task in tasks:
        for person in draw.sample(people, OVERLAP):
            order = draw.sample(ids[task.pk], REPLIES)
            ranks = {str(pk): rank for rank, pk in enumerate(order, start=1)}
            yield Ranking(task=task, annotator=person, ranks=ranks, shown_order=ids[task.pk], seconds=30.0)


def _session(name: str) -> str:
    """Of an annotator who is signed in."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import Group
    from django.contrib.sessions.backends.db import SessionStore

    from accounts.models import User
    from accounts.roles import Role

    person = User.objects.create_user(name)
    person.groups.add(Group.objects.get_or_create(name=Role.ANNOTATOR.value)[0])
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
