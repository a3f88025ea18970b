"""Request and answer of `POST /v1/completions`: text in, its continuation out, without a chat template."""

from typing import Annotated, Any, ClassVar, Literal, Self

from django.utils.translation import gettext_noop as _
from pydantic import BaseModel, Field, model_validator

from api.schemas.base import wrong
from api.schemas.sampling import MAX_CHOICES, Sampling, TokenUsage

MAX_PROMPTS = 20
MAX_IDS = 1_000_000
TokenId = Annotated[int, Field(ge=0, lt=2**31)]
Ids = Annotated[list[TokenId], Field(min_length=1, max_length=MAX_IDS)]
Text = Annotated[str, Field(max_length=2_000_000)]


class CompletionRequest(Sampling):
    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Ids
        | Annotated[list[Ids], Field(min_length=1, max_length=MAX_PROMPTS)]
    ) = Field("", description=_("A text, several texts, token ids, or several lists of them; empty: a new document."))
    max_tokens: int = Field(16, ge=0, le=1_000_000, description=_("0 is allowed only with `echo`."))
    echo: bool = Field(False, description=_("Return the prompt before the completion."))
    best_of: int | None = Field(
        None, ge=1, le=MAX_CHOICES, description=_("This many are generated, and the `n` most probable are returned.")
    )
    logprobs: int | None = Field(None, ge=0, le=5, description=_("Number of alternatives returned for each token."))

    ignored: ClassVar[frozenset[str]] = Sampling.ignored | {"store", "metadata"}
    refused: ClassVar[dict[str, tuple[Any, ...]]] = {**Sampling.refused, "suffix": (None, "")}

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.best_of is not None and self.best_of < self.n:
            raise wrong("best_of", "has to be at least n")
        if self.best_of is not None and self.best_of > self.n and self.stream:
            raise wrong("best_of", "cannot be streamed: nobody knows the best before the end")
        if self.max_tokens == 0 and not self.echo:
            raise wrong("max_tokens", "may be 0 only together with echo")
        if self.stream_options is not None and not self.stream:
            raise wrong("stream_options", "is for requests with `stream: true`")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        match self.prompt:
            case str() as text:
                return [text]
            case [int(), *_] as ids:
                return [ids]  # type: ignore[list-item]
            case several:
                return list(several)  # type: ignore[arg-type]

    @property
    def generated(self) -> int:
        """Completions that the engine generates for each prompt."""
        return self.best_of or self.n


class EngineRequest(CompletionRequest):
    """The same at an engine's own address, which names the model."""

    model: str = Field("", max_length=200)


# --- what is answered -----------------------------------------------------------------------------------------


class CompletionLogprobs(BaseModel):
    """Lists of equal length."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    text: str
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length", "content_filter"]


class TextCompletion(BaseModel):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: TokenUsage
