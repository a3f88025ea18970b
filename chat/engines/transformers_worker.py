"""The thread that owns the batch of the transformers engine, and the requests that wait for news of it."""

import asyncio
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chat.engines.transformers_batch import Batch, BatchRow, CompletionUpdate, PromptJob

STUCK_S = 60.0
"""A single step takes milliseconds; one that lasts this long does not end."""
FAILURES_IN_A_ROW = 3
"""After so many failed steps the device is lost: the process ends, and whoever watches starts another."""


@dataclass(eq=False)
class BatchRequest:
    """A job that waits for news of its rows; None is the news that its client has left."""

    job: "PromptJob"
    news: "asyncio.Queue[CompletionUpdate | None]" = field(default_factory=asyncio.Queue)
    rows: "list[BatchRow]" = field(default_factory=list)
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True
        for row in self.rows:
            row.is_cancelled = True


class Worker(threading.Thread):
    """Owns the batch: nothing of torch is touched by another thread."""

    def __init__(self, batch: "Batch", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.batch, self.loop = batch, loop
        self.arrivals: queue.SimpleQueue[BatchRequest] = queue.SimpleQueue()
        self.under_way = 0
        self.working_since: float | None = None
        self._outbox: list[tuple[BatchRequest, CompletionUpdate]] = []

    @property
    def is_stuck(self) -> bool:
        since = self.working_since
        return not self.is_alive() or (since is not None and time.monotonic() - since > STUCK_S)

    def run(self) -> None:
        failures = 0
        while failures < FAILURES_IN_A_ROW:
            self._take_arrivals()
            self.working_since = time.monotonic()
            try:
                self.batch.work()
                failures = 0
            except Exception as error:  # the batch has sent it to all its rows, and goes on without them
                print(f"a step failed: {error}", file=sys.stderr, flush=True)  # noqa: T201  the talker's log
                failures += 1
            self.working_since = None
            self._deliver()
        os._exit(1)

    def _take_arrivals(self) -> None:
        while self.batch.is_idle or not self.arrivals.empty():
            request = self.arrivals.get()
            if not request.is_cancelled:
                request.rows = self.batch.add(request.job, partial(self._note, request))
                if request.is_cancelled:  # meanwhile
                    request.cancel()

    def _note(self, request: BatchRequest, news: "CompletionUpdate") -> None:
        self._outbox.append((request, news))

    def _deliver(self) -> None:
        """One call for all news of a step: each wakes the other thread."""
        news, self._outbox = self._outbox, []
        if news:
            self.loop.call_soon_threadsafe(_hand_out, news)


def _hand_out(outbox: "list[tuple[BatchRequest, CompletionUpdate]]") -> None:
    for request, news in outbox:
        request.news.put_nowait(news)
