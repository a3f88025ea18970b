"""`manage.py run_web`: the pages, the API and the websockets, in a process of its own."""

from typing import Any

from django.conf import settings
from django.core.management import CommandParser

from base.commands import ChamsaeCommand
from config import roles
from config.exposure import DemoExposed, check_address
from config.processes import PortInUse, claim_port


class Command(ChamsaeCommand):
    needs_tables = False
    help = "Serves the pages, the API and the websockets, and nothing else. Stops on SIGTERM or Ctrl+C."
    examples = """
        manage.py run_web
        manage.py run_web --host 0.0.0.0 --port 9000
        manage.py run_web --server daphne
    """
    failures = (PortInUse, DemoExposed)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--server", choices=roles.SERVERS, default=settings.SERVER, help="default: CHAMSAE_SERVER"
        )

    def handle(self, *args: Any, host: str, port: int, server: str, **options: Any) -> None:
        if settings.DEMO:
            check_address(host)
        claim_port(host, port)
        roles.become(roles.web(host, port, server))
