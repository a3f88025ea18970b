"""Why there is no ranking task for somebody: whether one is being made, or what its making waits for."""

from dataclasses import dataclass
from enum import Enum

from chat import policies
from chat.errors import NoLivePolicy
from chat.queue import people, waiting
from feedback.judgements import refill_lease
from feedback.projects import stock


class StockReason(Enum):
    NO_POLICY = "no_policy"
    SWITCHED_OFF = "switched_off"
    """The site keeps no tasks in stock (CHAMSAE_TASK_STOCK is 0)."""
    NONE_FOR_YOU = "none_for_you"
    """The stock is full, of tasks that this person may not judge or has skipped."""
    NO_ENGINE = "no_engine"
    PEOPLE_FIRST = "people_first"
    """Somebody chats: tasks are made when nobody does."""
    BEING_MADE = "being_made"
    SOON = "soon"


@dataclass(frozen=True)
class StockState:
    reason: StockReason
    ready: int = 0
    wanted: int = 0
    """Tasks in stock, and how many there should be."""
    done: int = 0
    of: int = 0
    """Completions of the task that is being made; 0 of 0 while none is."""


def stock_state() -> StockState:
    try:
        policy = policies.live()
    except NoLivePolicy:
        return StockState(StockReason.NO_POLICY)
    need = stock.of_site(policy)
    ready, wanted = need.ready(), need.wanted()
    row = refill_lease.current()
    done, of = (row.done, row.wanted) if row is not None else (0, 0)
    return StockState(_reason(ready, wanted, is_making=row is not None), ready, wanted, done, of)


def _reason(ready: int, wanted: int, *, is_making: bool) -> StockReason:
    if wanted == 0:
        return StockReason.SWITCHED_OFF
    if ready >= wanted:
        return StockReason.NONE_FOR_YOU
    if people.room_for_bulk() == 0:
        return StockReason.PEOPLE_FIRST
    if is_making:
        return StockReason.BEING_MADE
    return StockReason.SOON if waiting.engine_of(None)[0] == "ready" else StockReason.NO_ENGINE
