"""The engine of transformers writes for every family what transformers itself does, alone and in a shared batch."""

import json
import random
import shutil

import pytest

from chat.prompts.rendering import Renderer
from tests.chat.engines.batches import job, run
from tests.families import FAMILIES, make_folder

QUESTIONS = ("What is a star?", "Do you like music? I love the songs of my family. " * 6, "참새 🐦")
ANY = random.Random(3)
PROMPTS = [[ANY.randrange(6, 300) for _ in range(length)] for length in (70, 5, 130)]


@pytest.fixture(params=FAMILIES, scope="module")
def family(request, tmp_path_factory):
    """A fetched policy of the family."""
    from rlhf.training.artefacts import fetch

    root = tmp_path_factory.mktemp("family")
    source = make_folder(root / "source", request.param)
    fetch.fetch(str(source), root / "policy", lambda done, total: None)
    shutil.rmtree(source)
    return request.param, root / "policy"


@pytest.fixture(scope="module")
def batch(family):
    from chat.engines.transformers_batch import Batch

    return Batch(family[1], slots=4)


@pytest.fixture(scope="module")
def generate(family):
    """Greedy ids by `generate`, which ends where generation_config.json says."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(family[1], dtype=torch.float32).eval()

    def write(ids, count, **options):
        with torch.no_grad():
            written = model.generate(
                torch.tensor([ids]), max_new_tokens=count, do_sample=False, return_dict_in_generate=True,
                output_logits=True, **options,
            )  # fmt: skip
        return written.sequences[0, len(ids) :].tolist(), [logits[0] for logits in written.logits]

    return write


def test_greedy_replies_that_share_a_batch_are_those_of_generate(family, batch, generate):
    prompts = [Renderer(family[1]).ids([{"role": "user", "content": text}]) for text in QUESTIONS] + PROMPTS[:1]
    done = run(batch, *[job(ids, max_tokens=40) for ids in prompts])
    for ids, (written, text, reason, _) in zip(prompts, done, strict=True):
        expected, _ = generate(ids, 40)
        assert written == expected
        assert reason == ("stop" if written[-1] in batch.ends else "length")
        before = batch.tokenizer.decode(ids)
        said = written[:-1] if reason == "stop" else written
        if FAMILIES[family[0]].byte_fallback:
            continue  # a random model writes bytes of no character, of which tokenizers change their mind
        assert text.rstrip("\ufffd") == batch.tokenizer.decode(ids + said)[len(before) :].rstrip("\ufffd")


def test_told_log_probs_are_those_of_transformers_past_every_window(family, batch, generate, monkeypatch):
    monkeypatch.setattr(batch, "ends", frozenset())
    done = run(batch, *[job(ids, max_tokens=40, logprobs=0) for ids in PROMPTS])
    for ids, (written, _, _, told) in zip(PROMPTS, done, strict=True):
        expected, logits = generate(ids, 40, eos_token_id=None)
        assert written == expected
        for number, of_token, token in zip(written, logits, told, strict=True):
            assert token["logprob"] == pytest.approx(of_token.log_softmax(-1)[number].item(), abs=1e-3)


def test_every_end_of_the_family_ends_a_reply_and_none_fills_rows(family, batch):
    assert batch.ends == set(FAMILIES[family[0]].ends)
    settled = json.loads((family[1] / "generation_config.json").read_text())
    assert settled["pad_token_id"] not in batch.ends


def test_bytes_of_characters_are_shown_as_characters_however_many_follow_each_other(tmp_path):
    from tokenizers import Tokenizer

    from chat.engines.transformers_batch import Text

    folder = make_folder(tmp_path / "source", "llama-byte-fallback")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = "A star 참새는새다한국어가나다라 🐦🐦\u00e9 is hot."
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    begins = [count for count in range(1, len(ids)) if text.startswith(tokenizer.decode(ids[:count]))]
    assert len(begins) > 20
    for begun in begins:
        shown = Text(tokenizer, ids[:begun], ())
        pieces = [shown.add(number)[0] for number in ids[begun:]]
        assert "\ufffd" not in "".join(pieces)
        assert tokenizer.decode(ids[:begun]) + "".join(pieces) + shown.rest() == text
