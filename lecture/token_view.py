"""A sentence in the live policy's tokens: how many there are, and what they cost as a prompt."""

from dataclasses import dataclass

from chat import policies
from chat.prompts.history import renderer_of
from metering.models import Price

PRICED_AS = "gpt-4"
"""The lecture's price list has it."""
LONGEST = 1000
"""Characters."""


@dataclass(frozen=True)
class SentenceInTokens:
    """A text in tokens; a character of several tokens stands in the last of them."""

    text: str
    tokens: list[str]
    dollars: float | None
    """As a prompt of gpt-4, a thousand times; None where the site has no such price."""

    @property
    def words(self) -> int:
        return len(self.text.split())

    @property
    def per_word(self) -> float:
        return len(self.tokens) / max(1, self.words)


def view(text: str) -> SentenceInTokens | None:
    """None where the live policy's tokenizer is not here. Raises NoLivePolicy, BadPolicy."""
    renderer = renderer_of(policies.live())
    if renderer is None:
        return None
    tokens = [piece for _, piece in renderer.spelled(text, is_first=True)]
    price = Price.objects.filter(model=PRICED_AS).values_list("prompt", flat=True).first()
    return SentenceInTokens(text, tokens, None if price is None else len(tokens) * price / 1e6)
