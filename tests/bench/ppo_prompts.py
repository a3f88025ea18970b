"""The prompts of the PPO bench, as ids, the same for every contestant."""

from pathlib import Path

QUESTIONS = (
    "What is a rainbow?",
    "How do you cook rice?",
    "Why do birds sing in the morning?",
    "Do you ever feel lonely?",
    "What did you eat for breakfast today?",
    "Name three kinds of trees.",
    "How does a bicycle stay upright?",
    "Tell me about the place where you grew up.",
    "What is the difference between a lake and a sea?",
    "Why is the sky blue?",
    "How can I fall asleep faster?",
    "What makes you angry?",
    "Explain what a library is for.",
    "How long does it take to boil an egg?",
    "Who are your parents?",
    "What is a good gift for a teacher?",
)


def prompt_ids(policy: str, count: int) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(policy))
    texts = [QUESTIONS[index % len(QUESTIONS)] for index in range(count)]
    rendered = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)
        for text in texts
    ]
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in rendered]
