"""Aligns a completion's tokens with its text: a token is emitted once its text was emitted, and none past the end.

Engines buffer text that may begin a stop string, and send its tokens meanwhile; some leave out the first tokens of a
character. Here the tokens' texts add up to the completion's text, as far as the engine has sent them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from chat.engines.engine import Piece, Token
from chat.prompts.rendering import Renderer


@dataclass(eq=False)
class TokenAligner:
    """For one completion."""

    renderer: Renderer | None
    """None where the tokenizer is elsewhere: a token's text is then what its server says."""
    before: list[int]
    """Token ids of the prompt, and of the completion so far."""
    _text: str = ""
    """Emitted text whose tokens were not emitted yet."""
    _tokens: list[Token] = field(default_factory=list)
    """Tokens whose text was not emitted yet."""
    _texts: list[str] = field(default_factory=list)
    """What each of them adds to the text, by its id."""

    def take(self, piece: Piece) -> Piece:
        """The piece, with the tokens whose text is complete now."""
        self._text += piece.text
        for token in piece.tokens:
            self._tokens.append(token)
            self._texts.append(self._added_by(token))
        tokens = self._last(piece.finish_reason) if piece.finish_reason else self._covered()
        return replace(piece, tokens=tuple(tokens))

    def _added_by(self, token: Token) -> str:
        if self.renderer is None or token.id is None:
            return token.text
        text = "" if token.id in self.renderer.control_tokens else self.renderer.added_by(token.id, self.before)
        self.before.append(token.id)
        return text

    def _candidate_texts(self) -> tuple[list[str], list[str]]:
        """The tokens' texts by their ids, then as the engine sent them, for where it has left tokens out."""
        return self._texts, [token.text for token in self._tokens]

    def _covered(self) -> list[Token]:
        for texts in self._candidate_texts():
            joined = "".join(texts)
            if joined.startswith(self._text) or self._text.startswith(joined):
                ends = list(accumulate(map(len, texts)))
                count = max(
                    (n for n, text in enumerate(texts, 1) if text and ends[n - 1] <= len(self._text)), default=0
                )
                return self._take_out(texts[:count], count)
        return []

    def _last(self, finish_reason: str) -> list[Token]:
        """The remaining tokens, without what a stop string or a guard has cut off."""
        matching = (texts for texts in self._candidate_texts() if "".join(texts).startswith(self._text))
        texts = next(matching, None)
        if texts is None:
            return self._take_out([token.text for token in self._tokens], len(self._tokens))
        starts = [0, *accumulate(map(len, texts))]
        cut = [text[: max(0, len(self._text) - start)] for text, start in zip(texts, starts, strict=False)]
        count = len(cut)
        while finish_reason != "length" and count and not cut[count - 1]:
            count -= 1
        return self._take_out(cut[:count], count)

    def _take_out(self, texts: Sequence[str], count: int) -> list[Token]:
        taken = [replace(token, text=text) for token, text in zip(self._tokens[:count], texts, strict=True)]
        self._text = self._text[sum(map(len, texts)) :]
        del self._tokens[:count], self._texts[:count]
        return taken
