"""Prompts of projects, with replies."""

from feedback.projects import prompt_files

PASTED = "\n".join(
    f'{{"prompt": "{text}", "replies": ["Yes.", "No.", "Yes. "], "language": "en"}}'
    for text in ("Is the sea salty?", "Do sparrows hibernate?", "Can a magnet attract wood?")
)


def pasted(text=PASTED):
    return prompt_files.read(text, "jsonl", replies=(2, 16))
