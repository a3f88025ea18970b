"""Tokenizers and chat templates of tests, written as a policy directory has them."""

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CHATML = (
    "{% for message in messages %}\n  {% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}\n"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ODD = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content.strip() }} [/INST]"
    "{% else %}{% generation %}{{ m.content | trim }}{% endgeneration %}{{ eos_token }}{% endif %}{% endfor %}<tool>"
)
ADDED = [
    AddedToken("<|endoftext|>", special=True),
    AddedToken("<|im_start|>", special=True),
    AddedToken("<|im_end|>", special=True),
    AddedToken("<|im_end|>x", special=True),  # contains another
    AddedToken("[INST]", special=False),  # not special, but the second template writes it
    AddedToken("[/INST]", special=False),
    AddedToken("<tool>", special=False, lstrip=True, rstrip=True),
    AddedToken("<think>", special=False),  # an added token that no template writes
    AddedToken("\n\n", special=False),
    AddedToken("참새", special=False, normalized=True),
    AddedToken("<|folded|>", special=True, normalized=True),
]
STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{{ m.role + messages[0].content[0] }}{% endfor %}"
)
"""Refuses roles that do not alternate, as Mistral's and Gemma's templates do."""


def write_tokenizer(directory, template, normalizer=None):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens([token for token in ADDED if token.special])
    tokenizer.add_tokens([token for token in ADDED if not token.special])
    tokenizer.save(str(directory / "tokenizer.json"))
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    (directory / "chat_template.jinja").write_text(template)
