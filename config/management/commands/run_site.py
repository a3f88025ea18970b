"""`manage.py run_site`: prepares the site, runs its processes, and ends all of them on Ctrl+C."""

import contextlib
import http.client
import os
import signal
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management import CommandParser, call_command
from django.db import connections
from django.utils import timezone
from kombu.exceptions import OperationalError
from rich.console import Console
from rich.table import Table

from accounts import demo
from base.commands import ChamsaeCommand
from chat.models import EngineProcess, Policy
from config import roles
from config.celery import app
from config.processes import PortInUse, Processes, SiteRunning, claim_port, only_site_of
from config.translations import compile_catalogues
from feedback import seed

HOST = "127.0.0.1"
READY_S = 120.0


def _child_environment(port: int) -> Mapping[str, str]:
    """The environment of the children, with the origins of this port unless the variable is set."""
    origins = os.environ.get("CHAMSAE_ORIGINS") or f"http://{HOST}:{port},http://localhost:{port}"
    return {**os.environ, "CHAMSAE_ORIGINS": origins}


def _page_answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    host = settings.ALLOWED_HOSTS[0] if os.environ.get("CHAMSAE_ORIGINS") else HOST
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _fill_stock() -> None:
    """Asks the worker for ranking tasks at once, so that the first annotator need not wait for the schedule."""
    with contextlib.suppress(OperationalError), app.connection_for_write() as connection:  # the schedule asks again
        app.send_task("feedback.tasks.stock_tasks", connection=connection)


def _engine_answers(since: datetime) -> bool:
    rows = EngineProcess.objects.filter(
        policy__is_live=True, state=EngineProcess.State.READY, heartbeat_at__gte=since
    )
    return rows.exists()


class Command(ChamsaeCommand):
    needs_tables = False
    help = "Runs the whole site: pages, talker, worker and scheduler. Ctrl+C stops everything."
    examples = """
        manage.py run_site
        manage.py run_site --port 9000
    """
    failures = (PortInUse, SiteRunning)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument(
            "--server", choices=roles.SERVERS, default=settings.SERVER, help="default: CHAMSAE_SERVER"
        )

    def handle(self, *args: Any, port: int, server: str, **options: Any) -> None:
        # Before the port: whoever starts a site twice shall hear of the site that runs.
        with only_site_of(settings.HOME, port) as marker:
            claim_port(HOST, port)
            self.prepare()
            self.stopping = False
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self.stop)
            processes = Processes(marker, settings.LOGS_DIR, self.say)
            try:
                self.serve(processes, port, marker[:8], server)
            finally:
                self.note("Stopping ...")
                processes.end()
                self.note("Stopped.")

    def prepare(self) -> None:
        """Brings the state up to date: catalogues, tables, seed data, and a model to answer with."""
        compile_catalogues()
        call_command("migrate", verbosity=0, interactive=False)
        seed.load()
        if settings.DEMO:
            demo.create_accounts()
        if not Policy.objects.filter(is_live=True).exists():
            self.note(f"Downloading the model {settings.CHAT_MODEL} (once) ...")
            call_command("fetch_model", stdout=self.stderr)

    def serve(self, processes: Processes, port: int, name: str, server: str) -> None:
        started_at, deadline = timezone.now(), time.monotonic() + READY_S
        environment = _child_environment(port)
        processes.add("web", roles.web(HOST, port, server), environment)
        processes.add("talker", roles.talker(), environment)
        processes.add("worker", roles.worker(name, schedules=True), environment)
        waiting_for = "the page"
        while not self.stopping and waiting_for and time.monotonic() < deadline:
            processes.tick()
            waiting_for = "" if _page_answers(port) and _engine_answers(started_at) else waiting_for
        connections.close_all()
        if not waiting_for:
            _fill_stock()
        if not self.stopping:
            self.greet(port, is_ready=not waiting_for)
        while not self.stopping:
            processes.tick()

    def greet(self, port: int, is_ready: bool) -> None:
        console = Console(highlight=False)
        console.print(f"\n  Chamsae is at [bold]http://{HOST}:{port}/[/bold]  (Ctrl+C stops it)")
        if not is_ready:
            self.note(f"Not everything has started within {READY_S:.0f} s; see the logs in {settings.LOGS_DIR}/")
        if settings.DEMO:
            table = Table("account", "password", "role", title="demo accounts, on this machine only")
            for account in demo.ACCOUNTS:
                table.add_row(account.name, settings.DEMO_PASSWORD, str(account.may))
            console.print(table)

    def say(self, name: str, line: str) -> None:
        self.stdout.write(f"{name:>6} | {line}")
        self.stdout.flush()  # a file or a pipe, too, shall have it when it happens

    def stop(self, number: int, frame: object) -> None:
        self.stopping = True
