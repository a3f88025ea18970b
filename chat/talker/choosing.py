"""Writes a reply that is shown only once it was chosen among several completions, or checked by the rule model."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

from django.db.utils import InterfaceError, OperationalError

from base.database_thread import DatabaseThread
from chat import guards
from chat.choosing import choice, log, plan
from chat.choosing.choice import DrawnCompletion
from chat.choosing.client import CompletionScore, ScorerProcess, Written
from chat.choosing.plan import Plan
from chat.choosing.source import ScorerAddress, source
from chat.engines.engine import Parameters
from chat.errors import Blocked, ChatError, EngineDown, GuardBroken, ScorerDown
from chat.models import Choice, Policy, Reply
from chat.prompts.fitting import PolicyPrompt
from chat.talker.active import Active

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
PAUSE_AFTER_ERROR_S = 15.0
BRINGING_LIMIT_S = 30.0
"""So long a reply waits for its reward model; the copying goes on for the next ones."""
Outcome = Choice.Outcome
Check = Callable[[str], Awaitable[None]]
"""Raises Blocked where a guard refuses the text."""


class Chooser:
    def __init__(self, database: DatabaseThread) -> None:
        self.database = database
        self.bringing = {kept: DatabaseThread(name) for kept, name in ((True, "scorers"), (False, "other scorers"))}
        """Threads of their own, since a reward model may have to be copied to this host first: one for the policy
        whose reward model is kept loaded, which is here already as a rule, so that its replies wait for no copy of
        another's."""
        self.scorer = ScorerProcess()
        self._kept: Policy | None = None

    async def run(self) -> None:
        """Keeps the live policy's reward model loaded while replies need it, until cancelled.

        Loading takes seconds, which the first reply would wait for.
        """
        loaded: tuple[ScorerAddress, int | None] | None = None
        try:
            while True:
                pause_s = LOOK_EVERY_S
                try:
                    self._kept = policy = await self.database(plan.scored_policy)
                    wanted = await self._brought(policy) if policy is not None else None
                    if wanted is None:
                        await self.scorer.close_if_idle()
                    elif loaded != (wanted, self.scorer.pid):
                        await self.scorer.load(wanted)
                        loaded = wanted, self.scorer.pid
                except (OperationalError, InterfaceError) as error:
                    logger.warning("the database is away: %s", error)
                except ScorerDown as error:
                    logger.warning("the scorer does not start: %s", error.detail)
                    pause_s = PAUSE_AFTER_ERROR_S
                await asyncio.sleep(pause_s)
        finally:
            await self.scorer.close()

    async def close(self) -> None:
        """Waits for a reward model that is being brought."""
        for thread in self.bringing.values():
            await thread.close()

    async def plan(self, reply: Reply, parameters: Parameters, policy: Policy) -> Plan | None:
        """None where the reply is shown while it is written."""
        needs = await self.database(plan.needs_of, reply, parameters)
        if needs is None:
            return None
        try:
            async with asyncio.timeout(BRINGING_LIMIT_S):
                scorer = await self._brought(policy)
        except (ScorerDown, TimeoutError) as error:
            logger.warning("reply %s is not scored: %s", reply.pk, str(error) or "its reward model is being brought")
            scorer = None
        return await self.database(plan.plan_for, reply, parameters, needs, scorer)

    async def _brought(self, policy: Policy) -> ScorerAddress | None:
        """Raises ScorerDown."""
        return await self.bringing[policy == self._kept](source().bring, policy)

    async def choose(self, active: Active, prompt: PolicyPrompt, wanted: Plan, check: Check) -> DrawnCompletion:
        """The completion that is shown; every one is recorded. Raises ChatError: Blocked where none may be shown."""
        started = time.monotonic()
        completions = await self._sample(active, prompt, wanted)
        sampled = time.monotonic()
        error, scored = "", None
        try:
            scored = await self._score(prompt, wanted, completions)
        except ScorerDown as problem:
            error = problem.detail
            logger.warning("reply %s is not scored: %s", active.reply.pk, error)
        times = {"sampling_ms": _ms(sampled - started), "scoring_ms": _ms(time.monotonic() - sampled)}
        try:
            refused = await self._refused(prompt, completions, check)
            judged = choice.decide(completions, scored, refused, wanted.thresholds)
        except (ScorerDown, GuardBroken) as problem:  # guards fail closed
            judged = choice.unjudged(completions, scored)
            await self.database(log.store, wanted.choice, Outcome.BLOCKED, judged, **times, error=problem.detail)
            raise GuardBroken(guards.TIMED_OUT, problem.detail) from problem
        shown = choice.chosen(judged)
        outcome = Outcome.BLOCKED if shown is None else Outcome.UNSCORED if scored is None else Outcome.CHOSEN
        await self.database(log.store, wanted.choice, outcome, judged, **times, error=error)
        if shown is None:
            raise Blocked(choice.blocking_rule(judged), "every completion was left out")
        return shown.completion

    async def _sample(self, active: Active, prompt: PolicyPrompt, wanted: Plan) -> list[DrawnCompletion]:
        """From the engine; nothing is shown. Raises ChatError."""
        found = [DrawnCompletion() for _ in range(wanted.best_of)]
        engine = active.loaded.engine
        try:
            with active.loaded.writing() as note:
                async with aclosing(engine.stream_many(prompt, wanted.parameters, wanted.best_of)) as pieces:
                    async for piece in pieces:
                        note()
                        found[piece.index] = found[piece.index].with_piece(piece)
            if not all(one.finish_reason for one in found):
                raise EngineDown("a completion without an end")
        except ChatError as error:
            judged = choice.unfinished(found)
            await self.database(log.store, wanted.choice, Outcome.FAILED, judged, error=error.detail)
            raise
        return found

    async def _score(
        self, prompt: PolicyPrompt, wanted: Plan, completions: Sequence[DrawnCompletion]
    ) -> list[CompletionScore]:
        if wanted.scorer is None:
            raise ScorerDown("there is no reward model for this policy")
        written = [Written(prompt.prefix + one.text, one.finish_reason == "stop") for one in completions]
        return await self.scorer.score(wanted.scorer, prompt.messages, written)

    async def _refused(
        self, prompt: PolicyPrompt, completions: Sequence[DrawnCompletion], check: Check
    ) -> dict[int, str]:
        """Which of the completions the site's other guards block, with the rule. Raises GuardBroken."""
        refused = {}
        for number, one in enumerate(completions):
            try:
                await check(prompt.prefix + one.text)
            except GuardBroken:
                raise
            except Blocked as error:
                refused[number] = error.guard
        return refused


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
