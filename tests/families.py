"""Tiny random models of many families, each as the Hugging Face folder that somebody could bring."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tiny import SPECIAL, TEMPLATE, TEXT

GEMMA_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<|im_start|>' + role + '\n' + message['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)
SILENT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}"
)
"""Leaves instructions out without a word, and closes a conversation with a second end, as Phi 3's."""
THINKING_TEMPLATE = (
    "{% for message in messages %}{% set content = message['content'] %}"
    "{% if message['role'] == 'assistant' %}{% set content = content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
SENTENCE_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token }}{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}"
    "{% endfor %}"
)
"""Marks of plain text and an end after each reply, as Llama 2's and Mistral's."""


@dataclass(frozen=True)
class Family:
    """What a folder of the family says beside the sizes that all have."""

    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    template: str = TEMPLATE
    ends: tuple[int, ...] = (2,)
    eos: str = SPECIAL[2]
    """The tokenizer's own end, which need not be the one that the template writes."""
    byte_fallback: bool = False


GEMMA = {"head_dim": 16, "sliding_window": 24, "tie_word_embeddings": False}
"""Tied, a random model of these repeats its last token, since the embedding is scaled up and all there is."""
FAMILIES = {
    "llama": Family("llama"),
    "llama-tied": Family("llama", {"tie_word_embeddings": True}),
    "llama-attention-bias": Family("llama", {"attention_bias": True}),
    "llama-llama3-rope": Family(
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 128,
            }
        },
    ),
    "llama-yarn-rope": Family(
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 256,
            }
        },
    ),
    "llama-byte-fallback": Family("llama", template=SENTENCE_TEMPLATE, byte_fallback=True),
    "mistral": Family("mistral", {"sliding_window": 24}),
    "mistral-whole": Family("mistral", {"sliding_window": None}),
    "qwen2": Family("qwen2", {"tie_word_embeddings": True}),
    "qwen3": Family("qwen3", {"head_dim": 24, "tie_word_embeddings": True}, template=THINKING_TEMPLATE),
    "qwen3-moe": Family(
        "qwen3_moe",
        {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
        template=THINKING_TEMPLATE,
    ),
    "gemma2": Family("gemma2", GEMMA, template=GEMMA_TEMPLATE, ends=(0, 2), eos=SPECIAL[0]),
    "gemma3": Family(
        "gemma3_text",
        {**GEMMA, "layer_types": ["sliding_attention"] * 2 + ["full_attention"]},
        template=GEMMA_TEMPLATE,
        ends=(0, 2),
        eos=SPECIAL[0],
    ),
    "phi3": Family("phi3", template=SILENT_TEMPLATE, ends=(0, 2)),
    "olmo2": Family("olmo2"),
    "smollm3": Family("smollm3", template=THINKING_TEMPLATE),
    "granite": Family("granite", {"logits_scaling": 4.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5}),
    "gpt-neox": Family("gpt_neox", {"rotary_pct": 0.25}),
}
SIZES = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,
    "bos_token_id": 1,
    "pad_token_id": None,
}


def make_folder(folder: Path, name: str, seed: int = 0) -> Path:
    """A random model in bf16 as transformers saves it, with a tokenizer, a template and no file of ours."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    family = FAMILIES[name]
    folder.mkdir(parents=True)
    ends = list(family.ends) if len(family.ends) > 1 else family.ends[0]
    config = CONFIG_MAPPING[family.model_type](**{**SIZES, "eos_token_id": ends, **family.config})
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    with torch.no_grad():  # spread wide enough that a greedy choice is no near-tie
        model.get_input_embeddings().weight.normal_(0, 0.45)
        model.get_output_embeddings().weight.normal_(0, 0.45)
    model.save_pretrained(folder)
    if family.byte_fallback:
        write_byte_fallback(folder)
    else:
        write_byte_level(folder, family.eos)
    (folder / "chat_template.jinja").write_text(family.template)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# Tiny\n")
    return folder


def write_byte_level(folder: Path, eos: str) -> None:
    """BPE over bytes, as GPT 2's and its heirs'."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=[*SPECIAL, "<think>", "</think>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_settings(folder, bos=SPECIAL[1], eos=eos)


def write_byte_fallback(folder: Path) -> None:
    """Words that begin with a mark, and bytes for what the vocabulary lacks, as SentencePiece's."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False, max_token_length=8
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary += [word for word in trained["vocab"] if word not in vocabulary]
    whole = Tokenizer(
        models.BPE(
            {word: index for index, word in enumerate(vocabulary)},
            [tuple(pair) for pair in trained["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    whole.normalizer = tokenizer.normalizer
    whole.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    whole.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in vocabulary[:3]])
    whole.save(str(folder / "tokenizer.json"))
    _write_settings(folder, bos="<s>", eos="</s>")


def _write_settings(folder: Path, *, bos: str, eos: str) -> None:
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {**settings, "unk_token": "<unk>" if bos == "<s>" else None, "clean_up_tokenization_spaces": False}
        )
    )
