"""`manage.py run_talker`: the process that writes replies."""

import asyncio
import os
import signal
import stat
import sys
from typing import Any

import uvloop
from django.core.management import CommandParser

from base import host_tidying
from base.commands import ChamsaeCommand
from base.garbage_collection import freeze_startup_objects
from chat.talker.talker import Talker


class Command(ChamsaeCommand):
    needs_tables = False
    help = (
        "Writes the replies of the chat and runs the engine of the live policy. Stops on SIGTERM, on Ctrl+C, or "
        "when its standard input is a pipe that is closed."
    )
    examples = """
        manage.py run_talker
    """

    def add_arguments(self, parser: CommandParser) -> None:
        pass  # it has no result to print

    def handle(self, *args: Any, **options: Any) -> None:
        freeze_startup_objects()
        host_tidying.start()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_talk_until_signalled())


async def _talk_until_signalled() -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    _watch_stdin(loop, stopped)
    talking = asyncio.create_task(Talker().run())
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([talking, waiting], return_when=asyncio.FIRST_COMPLETED)
    talking.cancel()
    try:
        await talking
    except asyncio.CancelledError:
        pass
    finally:
        waiting.cancel()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    """Whoever starts this as a child holds the other end of a pipe; when it dies, the pipe closes."""
    if sys.stdin is None or sys.stdin.closed or not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        return

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            stopped.set()

    loop.add_reader(sys.stdin.fileno(), readable)
