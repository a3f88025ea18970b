"""`manage.py create_api_key`: makes an API key and prints its secret."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import keys
from accounts.models import User
from base.commands import ChamsaeCommand, Exit


class Command(ChamsaeCommand):
    help = (
        "Creates an API key for an account and prints it. It is shown only once: the site stores only its hash. "
        "With --admin the key can also read the usage and costs of the whole site; its owner must be an admin."
    )
    examples = """
        manage.py create_api_key chatter --name notebook
        manage.py create_api_key admin --name figures --admin --json
        manage.py create_api_key chatter --name "always refused" --requests-per-minute 0
    """
    failures = (keys.NotAnAdmin,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user", metavar="USER", help="username of the owner")
        parser.add_argument("--name", required=True, metavar="N", help="what the key is for")
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=[scope for scope in keys.SCOPES if scope != "admin"],
            help="a permission; can be given several times (default: all but the usage of the whole site)",
        )
        parser.add_argument(
            "--requests-per-minute",
            type=int,
            metavar="R",
            help="limit of this key (default: the site's); 0 refuses every request with 429",
        )
        parser.add_argument("--admin", action="store_true", help="can read the usage and costs of the whole site")

    def handle(self, *args: Any, **options: Any) -> None:
        owner, limit = User.objects.filter(username=options["user"]).first(), options["requests_per_minute"]
        if owner is None:
            raise CommandError(f"there is no user {options['user']!r}", returncode=Exit.USAGE)
        if limit is not None and limit < 0:
            raise CommandError(f"--requests-per-minute {limit}: expected 0 or more", returncode=Exit.USAGE)
        scopes = [*options["scope"], *(["admin"] if options["admin"] else [])]
        key, secret = keys.make(owner, options["name"][:60], scopes=scopes, requests_per_minute=limit)
        made = {
            "key": secret,
            "id": key.pk,
            "name": key.name,
            "owner": owner.username,
            "scopes": key.scopes,
            "requests_per_minute": key.requests_per_minute,
        }
        self.finish(made, text=secret)
