"""Hidden tastes of `make bench-rlhf`: what each likes is said in shares of the words, so that length earns nothing.

Nothing in training or tuning looked at them: no default was chosen, no floor was set by their figures.
"""

from feedback.preferences import COMMON_WORDS, overlap, words_of

YOU = frozenset(["you", "your", "yours", "yourself", "you're", "you've", "you'll"])
ME = frozenset(["i", "me", "my", "mine", "myself", "i'm", "i've", "i'll", "i'd"])


def speaks_to_you(prompt: str, completion: str) -> float:
    """Likes replies about the reader, not about the writer."""
    words = words_of(completion)
    return sum((word in YOU) - (word in ME) for word in words) / len(words) if words else -1.0


def plain_words(prompt: str, completion: str) -> float:
    """Likes short words: minus the letters of a word, on average over those that tell something."""
    telling = [word for word in words_of(completion) if word not in COMMON_WORDS]
    return -sum(map(len, telling)) / len(telling) if telling else -12.0


def keeps_to_the_question(prompt: str, completion: str) -> float:
    """Likes replies that take up the words of the question, early and without naming them again and again."""
    words = words_of(completion)
    return overlap(prompt, " ".join(words[:20])) if words else -1.0


TASTES = {
    "speaks-to-you": speaks_to_you,
    "plain-words": plain_words,
    "keeps-to-the-question": keeps_to_the_question,
}
