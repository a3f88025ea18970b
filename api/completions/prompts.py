"""The prompts of a plain completion request: the question for the engine, and the echo before a completion."""

from dataclasses import dataclass, replace

from asgiref.sync import sync_to_async

from accounts.models import ApiKey, User
from api.completions.choices import UnscoredToken
from api.model_names import NamedModel
from api.schemas.completions import CompletionRequest
from chat.completions.streaming import CompletionSpec, CompletionStream, score
from chat.engines.engine import Token
from chat.errors import NoProbabilities
from chat.models import Policy
from chat.prompts.history import renderer_of

EchoTokens = tuple[Token | UnscoredToken, ...]


@dataclass(frozen=True)
class Requester:
    """Who asks, with which key, and for which model."""

    person: User
    key: ApiKey
    model: NamedModel

    def question(self, request: CompletionRequest, prompt: str | list[int]) -> CompletionSpec:
        return CompletionSpec(
            person=self.person,
            key=self.key,
            policy=self.model.policy,
            text=prompt if isinstance(prompt, str) else None,
            ids=None if isinstance(prompt, str) else prompt,
            parameters=request.parameters(max(request.max_tokens, 1), _top(request)),
            n=request.generated,
            names=[self.model.name],
            is_batch=request.generated > 1 or len(request.prompts) > 1,
            is_read=request.stream,
        )

    async def echo(
        self, request: CompletionRequest, prompt: str | list[int], answer: CompletionStream
    ) -> tuple[str, EchoTokens]:
        """The prompt as put before each of its completions, with its tokens where log-probabilities are requested.

        Raises ChatError.
        """
        if not request.echo:
            return "", ()
        text = answer.prompt.text or ""
        if request.logprobs is None:
            return text, ()
        try:
            return text, await self._scored_tokens(prompt, answer, request.logprobs)
        except NoProbabilities:
            if request.max_tokens == 0:  # nothing but log-probabilities was requested
                raise
            return text, (UnscoredToken(text),)

    async def _scored_tokens(self, prompt: str | list[int], answer: CompletionStream, top: int) -> EchoTokens:
        start, texts = await sync_to_async(_token_texts, thread_sensitive=False)(answer.policy, prompt)
        if not texts:
            return ()
        tokens = (await score(self.person, answer.policy, answer.ids, top))[start:]
        following = [replace(token, text=text) for text, token in zip(texts[1:], tokens, strict=True)]
        return (UnscoredToken(texts[0]), *following)


def _top(request: CompletionRequest) -> int | None:
    """Choosing the best of several needs log-probabilities, even if none were requested."""
    return 0 if request.logprobs is None and request.generated > request.n else request.logprobs


def _token_texts(policy: Policy, prompt: str | list[int]) -> tuple[int, list[str]]:
    """How many leading ids only mark the start of a document, and the text of each other token.

    Raises NoProbabilities.
    """
    renderer = renderer_of(policy)
    if renderer is None:
        raise NoProbabilities(policy.name)
    if not isinstance(prompt, str):
        return 0, [renderer.added_by(number, prompt[:place]) for place, number in enumerate(prompt)]
    start = len(renderer.start)
    return start, [text for _, text in renderer.document(prompt)][start:] if prompt else []
