"""Detects replies that reveal which model wrote them: a comparison of such a reply is not blind, and is discounted.

There are two kinds of words. Names of nothing but a model or its maker count wherever they occur; names that are also
ordinary words (Gemini, Llama, Google) count only where the text says them of itself. The names, sources and
configurations of the site's own policies add to both kinds.
"""

import re
from collections.abc import Iterable

from chat import policies
from chat.errors import BadPolicy
from chat.models import Policy

NAMES = (
    *("ChatGPT", "OpenAI", "GPT-2", "GPT-3", "GPT-3.5", "GPT-4", "GPT-4o", "GPT-5", "Anthropic", "DeepMind", "LaMDA"),
    *(
        "Hugging Face",
        "HuggingFace",
        "HuggingFaceTB",
        "SmolLM",
        "Mixtral",
        "Mistral AI",
        "DeepSeek",
        "Qwen",
        "Tongyi",
    ),
    *("ChatGLM", "Zhipu", "Moonshot AI", "EleutherAI", "Pythia", "TinyLlama", "OpenLLaMA", "Nemotron", "OLMo", "xAI"),
    *("HyperCLOVA", "EXAONE", "Kanana", "Open Assistant", "OpenAssistant", "LMSYS", "Vicuna", "StableLM", "RWKV"),
    *("챗GPT", "챗지피티", "오픈AI", "오픈에이아이", "앤트로픽", "앤스로픽", "허깅페이스", "하이퍼클로바", "엑사원"),
)
WORDS = (
    *("GPT", "Claude", "Gemini", "Gemma", "Bard", "PaLM", "Llama", "LLaMA", "Mistral", "Falcon", "Phi", "Grok", "Yi"),
    *("Kimi", "Command R", "Solar", "Bloom", "Alpaca", "Koala", "Dolly", "Google", "Meta", "Microsoft", "Amazon"),
    *(
        "Apple",
        "IBM",
        "NVIDIA",
        "Alibaba",
        "Baidu",
        "Tencent",
        "Cohere",
        "Naver",
        "Kakao",
        "Upstage",
        "LG",
        "Samsung",
    ),
    *("구글", "메타", "마이크로소프트", "네이버", "카카오", "업스테이지", "클로드", "제미나이", "라마", "미스트랄"),
)
PLAIN = frozenset(
    {
        *(
            "base",
            "chat",
            "instruct",
            "it",
            "model",
            "models",
            "policy",
            "tiny",
            "small",
            "large",
            "mini",
            "scripted",
        ),
        *("test", "fp16", "bf16", "f16", "f32", "gguf", "hub", "pypi", "run", "local", "final", "llm", "main", "the"),
    }
)
"""Parts of names that identify nothing."""
MADE = r"(?:trained|made|created|built|developed|designed|released|powered|fine-tuned) (?:\w+ ){0,2}(?:by|at)"
OF_ITSELF = (
    rf"(?:\b(?:i am|i['’]m|my name is|call me|i was|(?:model|assistant|chatbot|bot|AI)\b[\w ,]{{0,20}}?{MADE})|"
    r"(?:^|[.!?\n])\s*as)[\s:,*_\"'“‘`]+(?:[\w-]+[\s,]+){0,5}?[*_\"'“‘`]*"
)
OF_ITSELF_KO = r"(?:저는|나는|제 이름은|이름은|내 이름은)\s*(?:\S+\s+){0,3}?[*_\"'“‘`]*"
MADE_BY_KO = (
    r"(?:이|가|에서|의|사가|사에서)?\s*(?:\S+\s+){0,2}?(?:만든|만들어|개발한|개발된|개발했|훈련한|학습한|학습시킨)"
)
VERSION = re.compile(rf"{OF_ITSELF}(?:version|v\.?)\s*\d", re.IGNORECASE)
VERSION_KO = re.compile(rf"{OF_ITSELF_KO}(?:버전|판)\s*\d|{OF_ITSELF_KO}\d+\s*(?:번째\s*)?(?:버전|판)", re.IGNORECASE)


def reveals_identity(text: str, policies: Iterable[Policy]) -> bool:
    """Whether the text names its policy, version, model family or maker, as far as word lists can tell."""
    names, words = set(NAMES), set(WORDS)
    for policy in policies:
        own_names, own_words = _names_and_words_of(policy)
        names |= own_names
        words |= own_words
    if _any(names).search(text) or VERSION.search(text) or VERSION_KO.search(text):
        return True
    word = _any(words).pattern
    of_itself = rf"{OF_ITSELF}{word}|{OF_ITSELF_KO}{word}|{word}{MADE_BY_KO}"
    return re.search(of_itself, text, re.IGNORECASE) is not None


def _names_and_words_of(policy: Policy) -> tuple[set[str], set[str]]:
    """Names, and words that are names only in context, by which the policy may be recognised."""
    names: set[str] = set()
    words: set[str] = set()
    for title in (policy.name, policy.source.rpartition(":")[2], *_configured(policy)):
        for part in {*title.split("/"), *re.split(r"[/_\s-]+", title)}:
            stem = part.rstrip("0123456789.-")  # the family: smollm of smollm2
            if part.lower() in PLAIN or len(part) < 3 or re.fullmatch(r"[\d.]+[mbk]?", part, re.IGNORECASE):
                continue
            is_telling = bool(re.search(r"[a-z].*\d|\d.*[a-z]|-", part, re.IGNORECASE))
            (names if is_telling else words).add(part)
            if len(stem) >= 4 and stem.lower() not in PLAIN:
                words.add(stem)
    return names, words


def _configured(policy: Policy) -> list[str]:
    """The family and origin in the policy's configuration; none if it has no files."""
    if not policy.directory:
        return []
    try:
        config = policies.configuration(policy)
    except BadPolicy:
        return []
    found = [config.get("_name_or_path"), config.get("model_type"), *(config.get("architectures") or [])]
    return [name.removesuffix("ForCausalLM") for name in found if isinstance(name, str)]


def _any(names: Iterable[str]) -> re.Pattern[str]:
    """Matches any of the names as a whole word, in any case and with any separator between its parts. A Korean
    particle or a version may follow (SmolLM2)."""
    spelled = sorted({re.sub(r"\\?[-_\s]+", r"[-_\\s]?", re.escape(name)) for name in names}, key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9가-힣])(?:{'|'.join(spelled)})(?![A-Za-z])", re.IGNORECASE)
