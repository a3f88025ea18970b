"""Preferences and violation tests of one's own, as they are given to simulated annotators; no Django."""


def vowels(prompt: str, completion: str) -> float:
    """Likes vowels: random text of a tiny model has some."""
    return float(sum(letter in "aeiou" for letter in completion.lower()))


def has_an_a(prompt: str, completion: str) -> bool:
    """About half of what a tiny model writes has one, so that there is something to learn."""
    return "a" in completion.lower()
