"""Parameters that chat completions and plain completions share: sampling, stops, streaming."""

from typing import Annotated, Any, ClassVar

from django.conf import settings
from django.utils.translation import gettext_noop as _
from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import ApiRequest
from chat.engines.engine import MAX_SEED, MAX_STOP_CHARS, MAX_STOPS, Parameters

MAX_CHOICES = 16
LEAST_TOP_P = 1e-6
"""Used for a `top_p` of 0, which means only the most probable token."""
Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    include_usage: bool = Field(False, description="One more chunk before the end, with the tokens in all.")


class Sampling(ApiRequest):
    model: str = Field(
        min_length=1,
        max_length=200,
        description=_("A model of `GET /v1/models`: an alias, a policy, a fine-tune, or `live`."),
        examples=["live"],
    )
    temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description=_("0 always takes the most probable token. If omitted, the setting of the site's chat."),
    )
    top_p: float | None = Field(
        None, ge=0, le=1, description=_("Only the most probable tokens that together reach this share.")
    )
    top_k: int | None = Field(
        None, ge=0, le=1_000_000, description=_("Only this many of the most probable tokens; 0: all.")
    )
    n: int = Field(1, ge=1, le=MAX_CHOICES, description=_("Number of completions per prompt."))
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = Field(
        None, description=_("Where a completion ends; not included in it.")
    )
    seed: int | None = Field(
        None, ge=-(2**63), lt=2**64, description=_("The same seed and parameters give the same completion.")
    )
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    stream: bool = Field(False, description=_("Server-sent events, up to `data: [DONE]`."))
    stream_options: StreamOptions | None = None

    ignored: ClassVar[frozenset[str]] = frozenset({"user"})
    refused: ClassVar[dict[str, tuple[Any, ...]]] = {"logit_bias": (None, {})}

    @property
    def includes_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def parameters(self, max_tokens: int, top: int | None) -> Parameters:
        """`top`: alternatives reported for each token; None: no probabilities at all."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Parameters(
            temperature=settings.CHAT_TEMPERATURE if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else max(self.top_p, LEAST_TOP_P),
            top_k=self.top_k or 0,
            max_completion_tokens=max_tokens,
            seed=None if self.seed is None else self.seed % (MAX_SEED + 1),
            stop=tuple(stops),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            top_logprobs=None if top is None else max(top, 1),  # some engines take 0 for "tell nothing"
        )


class TokenUsage(BaseModel):
    """Tokens, counted by the model's own tokenizer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
