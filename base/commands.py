"""The base class of every command: progress on stderr, one JSON object on stdout, and defined exit codes."""

import json
import shlex
import sys
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NoReturn, Protocol

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from base.state_errors import StateError

PLAIN_LINE_EVERY_S = 5.0


class Exit(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING_TO_DO = 3
    INTERRUPTED = 130


class Meter(Protocol):
    """Reports progress; `step` and `steps` in whatever unit the work has."""

    def __call__(self, step: float, steps: float, note: str = "") -> None: ...


class ChamsaeCommand(BaseCommand):
    """A command whose `handle` ends in `finish`. Errors of the classes in `failures` and those of the
    shared state end it with code 1, those in `nothing` with code 3; an option that cannot be is argparse's error,
    code 2."""

    examples = ""
    """Lines as a person would type them; shown by --help."""
    failures: tuple[type[Exception], ...] = ()
    nothing: tuple[type[Exception], ...] = ()
    needs_tables = True
    """False for a command that makes the tables itself, or reports that they are missing."""
    as_json = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("formatter_class", RawDescriptionHelpFormatter)
        if self.examples:
            kwargs.setdefault("epilog", "examples:\n" + _indented(self.examples))
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, nothing else")

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.as_json = bool(options.get("json"))
        try:
            if self.needs_tables:
                _prepare_database()
            return super().execute(*args, **options)
        except MigrationsPending as error:
            self.fail(error, Exit.FAILED)
        except self.nothing as error:
            self.fail(error, Exit.NOTHING_TO_DO)
        except self.failures as error:
            self.fail(error, Exit.FAILED)
        except StateError as error:
            self.fail(error, Exit.FAILED)
        except KeyboardInterrupt:
            raise CommandError("interrupted", returncode=Exit.INTERRUPTED) from None

    def finish(self, result: Mapping[str, Any], code: int = Exit.DONE, text: str = "") -> None:
        """Prints the result: as JSON, else `text`, else its keys line by line. Any code but 0 raises CommandError."""
        if self.as_json:
            self.stdout.write(json.dumps(result, ensure_ascii=False, default=str))
        else:
            self.stdout.write(text or "\n".join(_lines_of(result)))
        if code:
            raise CommandError(text or str(result.get("error", "failed")), returncode=int(code))

    def fail(self, error: Exception, code: Exit) -> NoReturn:
        message = sentence(error)
        if self.as_json:
            described = {"code": getattr(error, "code", type(error).__name__), "message": message}
            self.stdout.write(json.dumps({"error": described}, ensure_ascii=False))
        raise CommandError(message, returncode=int(code)) from error

    def note(self, text: str) -> None:
        """A line for the person who waits; on stderr, so that it never mixes with the result."""
        self.stderr.write(text, style_func=lambda line: line)

    @contextmanager
    def progress(self, title: str) -> Iterator[Meter]:
        """A bar where a terminal shows one, else a plain line every few seconds."""
        if sys.stderr.isatty():
            with _bar(title) as meter:
                yield meter
        else:
            yield _plain_lines(title, self.note)


class MigrationsPending(Exception):
    """The tables are of another version of the code."""

    code = "migrations_pending"

    def __str__(self) -> str:
        command = shlex.join([sys.executable, str(settings.BASE_DIR / "manage.py"), "migrate"])
        return (
            f"the database in {settings.HOME} has another version than the code; stop the site if it runs, "
            f"then type: CHAMSAE_HOME={shlex.quote(str(settings.HOME))} {command}"
        )


def _prepare_database() -> None:
    """Makes the tables in a new home. An older database is left alone: a person decides when to migrate it."""
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if executor.loader.applied_migrations:
        raise MigrationsPending
    call_command("migrate", verbosity=0, interactive=False)


def sentence(error: Exception) -> str:
    """The text of an error for people; errors of the chat have a message beside their detail."""
    message, detail = str(getattr(error, "message", "")), str(error)
    if not message:
        return detail
    return message if detail == getattr(error, "code", "") else f"{message} ({detail})"


def _indented(text: str) -> str:
    return "\n".join("  " + line.strip() for line in text.strip().splitlines())


def _lines_of(result: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`a.b: value` for each leaf, in order."""
    for key, value in result.items():
        if isinstance(value, Mapping):
            yield from _lines_of(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {value}"


@contextmanager
def _bar(title: str) -> Iterator[Meter]:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as shown:
        task = shown.add_task(title, total=None)

        def move(step: float, steps: float, note: str = "") -> None:
            shown.update(task, completed=step, total=steps or None, description=f"{title} {note}".rstrip())

        yield move


def _plain_lines(title: str, write: Any) -> Meter:
    written_at = float("-inf")

    def move(step: float, steps: float, note: str = "") -> None:
        nonlocal written_at
        if time.monotonic() - written_at < PLAIN_LINE_EVERY_S and step < steps:
            return
        written_at = time.monotonic()
        share = f"{100 * step / steps:.0f} %" if steps else f"{step:g}"
        write(f"{title}: {share} {note}".rstrip())

    return move
