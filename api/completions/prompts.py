"""The prompts of a request for plain completions: what goes to the engine, and what an echo tells of them."""

from dataclasses import dataclass, replace

from asgiref.sync import sync_to_async

from accounts.models import ApiKey, User
from api.completions.choices import First
from api.names import Named
from api.schemas.completions import CompletionRequest
from chat.completions.streaming import CompletionSpec, CompletionStream, score
from chat.engines.engine import Token
from chat.errors import NoProbabilities
from chat.models import Policy
from chat.prompts.history import renderer_of

Shown = tuple[Token | First, ...]


@dataclass(frozen=True)
class Asker:
    person: User
    key: ApiKey
    named: Named

    def question(self, asked: CompletionRequest, prompt: str | list[int]) -> CompletionSpec:
        return CompletionSpec(
            person=self.person,
            key=self.key,
            policy=self.named.policy,
            text=prompt if isinstance(prompt, str) else None,
            ids=None if isinstance(prompt, str) else prompt,
            parameters=asked.parameters(max(asked.max_tokens, 1), _top(asked)),
            n=asked.made,
            names=[self.named.name],
        )

    async def echo(
        self, asked: CompletionRequest, prompt: str | list[int], answer: CompletionStream
    ) -> tuple[str, Shown]:
        """The prompt as it stands before each of its completions, with its tokens where their probabilities are told.

        Raises ChatError.
        """
        if not asked.echo:
            return "", ()
        text = answer.prompt.text or ""
        if asked.logprobs is None:
            return text, ()
        try:
            return text, await self._scored(prompt, answer, asked.logprobs)
        except NoProbabilities:
            if asked.max_tokens == 0:  # the probabilities are all that was wanted
                raise
            return text, (First(text),)

    async def _scored(self, prompt: str | list[int], answer: CompletionStream, top: int) -> Shown:
        start, texts = await sync_to_async(_spelled, thread_sensitive=False)(answer.policy, prompt)
        if not texts:
            return ()
        tokens = (await score(self.person, answer.policy, answer.ids, top))[start:]
        following = [replace(token, text=text) for text, token in zip(texts[1:], tokens, strict=True)]
        return (First(texts[0]), *following)


def _top(asked: CompletionRequest) -> int | None:
    """The best of several can only be chosen by their probabilities."""
    return 0 if asked.logprobs is None and asked.made > asked.n else asked.logprobs


def _spelled(policy: Policy, prompt: str | list[int]) -> tuple[int, list[str]]:
    """How many ids of a prompt only begin a document, and what each of the others adds to the text.

    Raises NoProbabilities.
    """
    renderer = renderer_of(policy)
    if renderer is None:
        raise NoProbabilities(policy.name)
    if not isinstance(prompt, str):
        return 0, [renderer.added_by(number, prompt[:place]) for place, number in enumerate(prompt)]
    start = len(renderer.start)
    return start, [text for _, text in renderer.document(prompt)][start:] if prompt else []
