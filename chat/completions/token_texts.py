"""Tokens of a completion beside its text: each is told once the text that it wrote is there, and none past its end.

Engines hold text back that may begin a stop string, and tell of its tokens meanwhile; some tell nothing of the first
tokens of a character. Here the texts of the tokens together are the text, as far as an engine has told them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from chat.engines.engine import Piece, Token
from chat.prompts.rendering import Renderer


@dataclass(eq=False)
class Spelling:
    """Of one completion."""

    renderer: Renderer | None
    """None where the tokenizer is elsewhere: texts are then what its server says."""
    before: list[int]
    """The ids of the prompt, and of what was told since."""
    _text: str = ""
    """What was written and has no tokens yet."""
    _tokens: list[Token] = field(default_factory=list)
    """Those whose text has not come yet."""
    _texts: list[str] = field(default_factory=list)
    """What each of them adds, by its id."""

    def take(self, piece: Piece) -> Piece:
        """The piece, with the tokens whose text is there now."""
        self._text += piece.text
        for token in piece.tokens:
            self._tokens.append(token)
            self._texts.append(self._added_by(token))
        told = self._last(piece.finish_reason) if piece.finish_reason else self._covered()
        return replace(piece, tokens=tuple(told))

    def _added_by(self, token: Token) -> str:
        if self.renderer is None or token.id is None:
            return token.text
        said = "" if token.id in self.renderer.control_tokens else self.renderer.added_by(token.id, self.before)
        self.before.append(token.id)
        return said

    def _spellings(self) -> tuple[list[str], list[str]]:
        """By the ids, then in the words of the engine, for where it has left ids out."""
        return self._texts, [token.text for token in self._tokens]

    def _covered(self) -> list[Token]:
        for texts in self._spellings():
            said = "".join(texts)
            if said.startswith(self._text) or self._text.startswith(said):
                ends = list(accumulate(map(len, texts)))
                count = max(
                    (n for n, text in enumerate(texts, 1) if text and ends[n - 1] <= len(self._text)), default=0
                )
                return self._told(texts[:count], count)
        return []

    def _last(self, finish_reason: str) -> list[Token]:
        """The rest. What a stop string or a guard has cut off is cut off here, too."""
        fitting = (texts for texts in self._spellings() if "".join(texts).startswith(self._text))
        texts = next(fitting, None)
        if texts is None:
            return self._told([token.text for token in self._tokens], len(self._tokens))
        starts = [0, *accumulate(map(len, texts))]
        cut = [text[: max(0, len(self._text) - start)] for text, start in zip(texts, starts, strict=False)]
        kept = len(cut)
        while finish_reason != "length" and kept and not cut[kept - 1]:
            kept -= 1
        return self._told(cut[:kept], kept)

    def _told(self, texts: Sequence[str], count: int) -> list[Token]:
        told = [replace(token, text=text) for token, text in zip(self._tokens[:count], texts, strict=True)]
        self._text = self._text[sum(map(len, texts)) :]
        del self._tokens[:count], self._texts[:count]
        return told
