"""A complete policy directory of a few hundred kilobytes, for tests of every stage and of the real engine."""

import json
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = (
    "A rainbow is light that drops of water bend. The sun is a star. I feel happy today, said the bird.",
    "What is a star? A star is a ball of hot gas. Why do birds sing? They sing to find a mate.",
    "Do you have a body? I am a program and have no body. Do you like music? I love the songs of my family.",
    "How do you cook rice? Wash the rice, add water, and wait until it is soft. Tell me about your day.",
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def make_tiny_policy(
    directory: Path,
    seed: int = 0,
    vocabulary: int = 384,
    *,
    hidden: int = 64,
    layers: int = 4,
    scale: float = 0.15,
) -> Path:
    """Write a random Llama with everything a policy directory holds: weights, tokenizer, template, GGUF, manifest.

    `scale` is the spread of the weights: large enough that greedy choices are no near-ties.
    """
    from rlhf.training.artefacts import checkpoints, gguf_export

    def write(draft: Path) -> None:
        _write_configs(draft, vocabulary, hidden, layers)
        write_tokenizer(draft, vocabulary)
        _write_weights(draft, vocabulary, hidden, layers, seed, scale)
        (draft / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny random policy for tests\n")
        gguf_export.export(draft, draft / "policy.gguf", name="tiny")

    return checkpoints.publish(write, Path(directory))


def _write_configs(folder: Path, vocabulary: int, hidden: int, layers: int) -> None:
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "dtype": "bfloat16",
        "head_dim": hidden // 4,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": hidden * 2,
        "max_position_embeddings": 1024,
        "mlp_bias": False,
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": True,
        "use_cache": True,
        "vocab_size": vocabulary,
        **ids,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "generation_config.json").write_text(json.dumps(ids))


def write_tokenizer(folder: Path, vocabulary: int) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[1],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "unk_token": SPECIAL[0],
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(TEMPLATE)


def _write_weights(folder: Path, vocabulary: int, hidden: int, layers: int, seed: int, scale: float) -> None:
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(seed)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        spread = scale * 3 if rows == vocabulary else scale  # embeddings, which are the head as well
        return (torch.randn(rows, columns, generator=random) * spread).to(torch.bfloat16)

    one = torch.ones(hidden, dtype=torch.bfloat16)
    weights = {"model.embed_tokens.weight": matrix(vocabulary, hidden), "model.norm.weight": one.clone()}
    for index in range(layers):
        layer = f"model.layers.{index}"
        weights |= {
            f"{layer}.input_layernorm.weight": one.clone(),
            f"{layer}.post_attention_layernorm.weight": one.clone(),
            f"{layer}.self_attn.q_proj.weight": matrix(hidden, hidden),
            f"{layer}.self_attn.k_proj.weight": matrix(hidden // 2, hidden),
            f"{layer}.self_attn.v_proj.weight": matrix(hidden // 2, hidden),
            f"{layer}.self_attn.o_proj.weight": matrix(hidden, hidden),
            f"{layer}.mlp.gate_proj.weight": matrix(hidden * 2, hidden),
            f"{layer}.mlp.up_proj.weight": matrix(hidden * 2, hidden),
            f"{layer}.mlp.down_proj.weight": matrix(hidden, hidden * 2),
        }
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
