"""Request and answer of `POST /v1/chat/completions`: a conversation in, the next message out."""

from typing import Annotated, Any, ClassVar, Literal, Self

from django.utils.translation import gettext_noop as _
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.schemas.base import wrong
from api.schemas.sampling import Sampling, TokenUsage
from chat.engines.engine import MAX_TOP_LOGPROBS
from chat.prompts.rendering import Turn

MAX_MESSAGES = 400
FLEX = "flex"
Text = Annotated[str, Field(max_length=2_000_000)]


class TextPart(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart] = Field(description="Text, or parts that are text.")
    name: str | None = Field(None, description=_("Accepted but ignored."))
    refusal: str | None = Field(None, description=_("Accepted but ignored."))

    @model_validator(mode="before")
    @classmethod
    def _drop_empty_answer_fields(cls, values: Any) -> Any:
        """Lets a client send an answer of this site back as it came."""
        if not isinstance(values, dict):
            return values
        unused = ("audio", "tool_calls", "function_call", "annotations")
        return {k: v for k, v in values.items() if v is not None and not (k in unused and not v)}

    @property
    def turn(self) -> Turn:
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Turn(role="system" if self.role == "developer" else self.role, content=content)


class ChatRequest(Sampling):
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(
        None, ge=1, le=1_000_000, description=_("If omitted, the site default.")
    )
    max_tokens: int | None = Field(None, ge=1, le=1_000_000, description=_("Older name of the same parameter."))
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    service_tier: str | None = Field(
        None, max_length=40, description=_("`flex`: nobody is waiting, so people come first. Others change nothing.")
    )

    ignored: ClassVar[frozenset[str]] = Sampling.ignored | {
        *("store", "metadata", "parallel_tool_calls", "safety_identifier", "prompt_cache_key"),
        *("reasoning_effort", "verbosity", "prompt_cache_retention"),
    }
    refused: ClassVar[dict[str, tuple[Any, ...]]] = {
        **Sampling.refused,
        "tools": (None, []),
        "tool_choice": (None, "none", "auto"),
        "functions": (None, []),
        "function_call": (None, "none", "auto"),
        "response_format": (None, {"type": "text"}),
        "modalities": (None, ["text"]),
        "audio": (None,),
        "prediction": (None,),
        "web_search_options": (None,),
        "moderation": (None,),
    }

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise wrong("top_logprobs", "is for requests with `logprobs: true`")
        if self.stream_options is not None and not self.stream:
            raise wrong("stream_options", "is for requests with `stream: true`")
        return self

    @property
    def turns(self) -> list[Turn]:
        return [message.turn for message in self.messages]


# --- what is answered -----------------------------------------------------------------------------------------


class TopLogprob(BaseModel):
    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    content: list[TokenLogprob]
    refusal: None


class AssistantMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(BaseModel):
    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length", "content_filter"]


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: TokenUsage
