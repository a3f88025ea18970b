"""A thread with a database connection of its own, for loops that query too often to share Django's one thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections
from django.db.utils import InterfaceError, OperationalError

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseThread:
    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's result, from the thread. After an error of the connection the next call gets a new one, also
        where the function kept the error to itself: a broken connection would fail for ever."""

        def run() -> R:
            try:
                return function(*args, **kwargs)
            except (OperationalError, InterfaceError):
                connections.close_all()
                raise
            finally:
                for connection in connections.all(initialized_only=True):
                    if connection.errors_occurred:
                        connection.close()

        return await asyncio.get_running_loop().run_in_executor(self._executor, run)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown()
