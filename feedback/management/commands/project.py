"""`manage.py project`: makes, lists, stops, resumes and clones projects, and says how far each is."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

from accounts.models import User
from base.commands import ChamsaeCommand, Exit
from chat.models import Policy
from feedback.models import Project, Prompt, Rule
from feedback.projects import asks, people, progress, prompt_files, setting_up
from feedback.projects.errors import ProjectError
from feedback.projects.languages import read_codes
from feedback.projects.prompt_files import PromptLine
from feedback.projects.setting_up import ProjectPlan
from feedback.questions.kinds import KINDS
from feedback.questions.rate import USUAL

ACTIONS = ("list", "create", "add", "people", "stop", "resume", "clone", "progress")


class Command(ChamsaeCommand):
    help = (
        "Projects: prompts of your own, judged by people whom you choose. `create` and `add` read prompts from a "
        "file (JSONL, CSV, or one per line), `people` a CSV of usernames, roles and languages. If a line is wrong, "
        "every such line is named and nothing is stored."
    )
    examples = """
        manage.py project list
        manage.py project create course --title "Course 2027" --prompts prompts.jsonl --overlap 3 --by admin
        manage.py project create two --title Two --prompts pairs.csv --replies pasted --people people.csv
        manage.py project create rated --title Rated --prompts prompts.jsonl --question rate --attributes truth,style
        manage.py project people course --people people.csv
        manage.py project stop course --by admin
        manage.py project clone course --to course-2 --title "Course 2028" --with-people
        manage.py project progress course --json
    """
    failures = (ProjectError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("action", choices=ACTIONS)
        parser.add_argument("key", nargs="?", help="key of the project; the site's own stream is `site`")
        parser.add_argument("--title", default="", help="title of a new project")
        parser.add_argument("--prompts", type=Path, metavar="FILE", help="prompts: .jsonl, .csv or .txt")
        parser.add_argument("--people", type=Path, metavar="FILE", help="CSV of username, role, languages")
        parser.add_argument("--replies", choices=("live", "pasted"), default="live", help="who writes the replies")
        parser.add_argument(
            "--question", choices=[*KINDS], default=Project.Question.RANK, help="what is asked (default rank)"
        )
        parser.add_argument("--rule", metavar="KEY", help="replies are graded by this rule (--question grade)")
        parser.add_argument(
            "--attributes", default="", metavar="NAMES", help="what is rated, such as helpfulness,style (rate)"
        )
        parser.add_argument("--policy", metavar="NAME", help="this policy writes them, whichever is live")
        parser.add_argument("--side", choices=Prompt.Split.values, default="", help="of prompts that do not say it")
        parser.add_argument("--completions", type=int, default=4, metavar="K", help="replies in a task (default 4)")
        parser.add_argument("--overlap", type=int, default=1, metavar="N", help="judgements of each task (default 1)")
        parser.add_argument("--languages", default="", metavar="CODES", help="such as en,ko (default: any)")
        parser.add_argument("--deadline", type=parse_datetime, metavar="TIME", help="such as 2027-03-01T18:00")
        parser.add_argument("--to", default="", metavar="KEY", help="key of a clone")
        parser.add_argument("--with-people", action="store_true", help="clone the members, too")
        parser.add_argument("--by", metavar="USER", help="username of who does it, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        by = _user(options["by"])
        if options["action"] == "list":
            self.finish({"projects": [_told(row) for row in Project.objects.all()]})
        elif not options["key"]:
            raise CommandError("name the project by its key", returncode=Exit.USAGE)
        elif options["action"] == "create":
            self.create(options, by)
        else:
            self.change(options, _project(options["key"]), by)

    def create(self, options: dict[str, Any], by: User | None) -> None:
        policy = _policy(options["policy"])
        question = options["question"]
        replies = asks.replies_from(question, Project.Replies.POLICY if policy else options["replies"])
        languages = read_codes(options["languages"])
        if not 1 <= options["overlap"] <= setting_up.MAX_OVERLAP or not 1 <= options["completions"] <= 16:
            raise CommandError("--overlap from 1 to 50, --completions from 1 to 16", returncode=Exit.USAGE)
        plan = ProjectPlan(
            key=options["key"],
            title=options["title"] or options["key"],
            replies=replies,
            policy=policy,
            completions_per_task=asks.completions_for(question, options["completions"]),
            question=question,
            rule=_rule(options["rule"]) if question == Project.Question.GRADE else None,
            attributes=_attributes(options) if question == Project.Question.RATE else [],
            overlap=options["overlap"],
            languages=languages,
            deadline=_aware(options["deadline"]),
            prompts=_prompts(options, question, replies, languages),
            people=people.read(_text(options["people"])) if options["people"] else (),
        )
        made, stored = setting_up.create(plan, by=by)
        self.finish({**_told(made), **asdict(stored)})

    def change(self, options: dict[str, Any], of: Project, by: User | None) -> None:
        action = options["action"]
        if action in ("stop", "resume"):
            state = Project.State.STOPPED if action == "stop" else Project.State.OPEN
            changed = setting_up.set_state(of, state, by=by)
            self.finish(_told(of), Exit.DONE if changed else Exit.NOTHING_TO_DO)
        elif action == "clone":
            title = options["title"] or str(of)
            made = setting_up.clone(of, options["to"], title, with_people=options["with_people"], by=by)
            self.finish(_told(made))
        elif action == "add":
            lines = _prompts(options, of.question, of.replies, of.languages)
            self.finish({"project": of.key, **asdict(setting_up.add_prompts(of, lines, by=by))})
        elif action == "people":
            self.finish({"project": of.key, "people": people.add(of, people.read(_text(options["people"])), by=by)})
        else:
            found = asdict(progress.of(of))
            self.finish({**_told(of), **found["tasks"], "median_seconds": found["seconds"], **_parts(found)})


def _parts(found: dict[str, Any]) -> dict[str, Any]:
    names = ("username", "judgements", "seconds")
    return {
        "disagreements": found["disagreements"],
        "languages": dict(found["languages"]),
        "people": [{name: row[name] for name in names} for row in found["people"]],
    }


def _told(of: Project) -> dict[str, Any]:
    told = {"project": of.key, "title": of.title, "state": str(of.state), "overlap": of.overlap}
    return {**told, "question": str(of.question)}


def _project(key: str) -> Project:
    found = Project.objects.filter(key=key).first()
    if found is None:
        raise CommandError(f"there is no project {key!r}", returncode=Exit.USAGE)
    return found


def _user(name: str | None) -> User | None:
    found = User.objects.filter(username=name).first() if name else None
    if name and found is None:
        raise CommandError(f"there is no user {name!r}", returncode=Exit.USAGE)
    return found


def _policy(name: str | None) -> Policy | None:
    found = Policy.objects.filter(name=name, retired_at=None).first() if name else None
    if name and found is None:
        raise CommandError(f"there is no policy {name!r}", returncode=Exit.USAGE)
    return found


def _aware(moment: Any) -> Any:
    return make_aware(moment) if moment is not None and is_naive(moment) else moment


def _text(path: Path | None) -> str:
    if path is None:
        raise CommandError("name the file: --prompts FILE, or --people FILE", returncode=Exit.USAGE)
    try:
        prompt_files.check_size(path.stat().st_size)
        return prompt_files.decoded(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", returncode=Exit.USAGE) from None


def _rule(key: str | None) -> Rule | None:
    found = Rule.objects.filter(key=key, retired_at=None).first() if key else None
    if key and found is None:
        raise CommandError(f"there is no rule {key!r}", returncode=Exit.USAGE)
    return found


def _attributes(options: dict[str, Any]) -> list[str]:
    return asks.read_attributes(options["attributes"]) or list(USUAL)


def _prompts(options: dict[str, Any], question: str, replies: str, languages: list[str]) -> list[PromptLine]:
    text = _text(options["prompts"])
    kind = prompt_files.format_of(options["prompts"].name, text)
    only = languages[0] if len(languages) == 1 else ""
    bounds = asks.replies_in_file(question, replies)
    found = prompt_files.read(text, kind, replies=bounds, language=only)
    return prompt_files.with_side(found, options["side"])
