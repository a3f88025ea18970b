"""Polls the database in one task for everybody in an event loop who waits; the task runs only while somebody does."""

import asyncio
import logging
import weakref
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Self, TypeVar

from django.db.utils import InterfaceError, OperationalError

from base.database_thread import DatabaseThread

Thread = TypeVar("Thread", bound=DatabaseThread)
logger = logging.getLogger(__name__)

PAUSE_AFTER_ERROR_S = 0.5


class Poller(ABC, Generic[Thread]):
    """A subclass knows who waits, and calls `begin` whenever somebody joins them."""

    _of_loops: ClassVar["weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any]"]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._of_loops = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of_running_loop(cls) -> Self:
        """The one instance of the running event loop."""
        poller: Self = cls._of_loops.setdefault(asyncio.get_running_loop(), cls())
        return poller

    @abstractmethod
    def connect(self) -> Thread:
        """The thread in which one run of the task asks the database, with what that run has to remember."""

    @abstractmethod
    def is_awaited(self) -> bool:
        """Whether somebody waits; else the task ends."""

    @abstractmethod
    async def poll(self, database: Thread) -> None:
        """Looks once, and pauses until the next look."""

    @abstractmethod
    def on_failure(self) -> None:
        """An unforeseen error has ended the task: nobody may be left waiting."""

    def begin(self) -> None:
        """Starts the task unless it runs already."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._on_end)

    async def _run(self) -> None:
        database = self.connect()
        try:
            while self.is_awaited():
                try:
                    await self.poll(database)
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                    await asyncio.sleep(PAUSE_AFTER_ERROR_S)
        finally:
            self._task = None  # before anything is awaited: whoever joins from now on starts a new task
            await database.close()

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", type(self).__name__, exc_info=error)
            self.on_failure()
