"""Raw prompts as ids, against transformers' own tokenizers; and what servers elsewhere are asked."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from chat import policies
from chat.completions import raw_prompts
from chat.engines.engine import Parameters
from chat.engines.openai import OpenAIEngine
from chat.errors import UnknownTokens
from chat.models import Policy
from chat.prompts.fitting import PolicyPrompt
from chat.prompts.rendering import Renderer
from tests.chat.engines.scripted_server import HEAD, answer, event, server
from tests.chat.policies import install
from tests.chat.tokenizers import ADDED, CHATML, write_tokenizer

TEXTS = st.text(st.sampled_from("ab \n참🌈<|>_inmedtx[]/IST"), max_size=20)


def of_metaspace(directory, template):
    """As those of Llama 2: a space before the first word, and a token before every text."""
    vocabulary = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "c"])}
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    merges = [("▁", "a")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first"), decoders.ByteFallback()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(directory / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names})
    )
    (directory / "chat_template.jinja").write_text(template)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, tiny_policy):
    """(our renderer, transformers' tokenizer) of several directories."""
    from transformers import AutoTokenizer

    directories = [tiny_policy]
    for name, write in (("bytes", write_tokenizer), ("metaspace", of_metaspace)):
        directories.append(tmp_path_factory.mktemp(name))
        write(directories[-1], CHATML)
    return [(Renderer(path), AutoTokenizer.from_pretrained(path)) for path in directories]


@given(TEXTS)
@settings(deadline=None)
def test_a_document_is_what_transformers_makes_of_it_where_no_control_token_stands_in_it(pairs, text):
    for renderer, tokenizer in pairs:
        if text and not any(token in text for token in [*renderer.added_tokens]):
            assert [number for number, _ in renderer.document(text)] == tokenizer(text).input_ids


def as_kept(text):
    """A text without what a token that takes the space around it says nothing of, as transformers' own does not."""
    return re.sub(r"\s*<tool>\s*", "<tool>", text)


@given(st.lists(st.one_of(TEXTS, st.sampled_from([token.content for token in ADDED])), max_size=5).map("".join))
@example(" <tool>")
@example("a<tool>\n b")
@settings(deadline=None)
def test_no_text_of_a_document_becomes_a_control_token_and_together_it_is_the_text(pairs, text):
    for renderer, tokenizer in pairs[:2]:
        spelled = renderer.document(text)
        ids = [number for number, _ in spelled]
        assert "".join(said for _, said in spelled) == text
        assert as_kept(tokenizer.decode(ids)) == as_kept(text) or not text
        assert not set(ids[len(renderer.start) :]) & set(renderer.control_tokens) or not text


def test_the_start_of_a_document_stands_before_every_text_where_that_is_the_convention(pairs):
    (tiny, _), _, (metaspace, _) = pairs
    assert (tiny.start, metaspace.start) == ([], [1])
    assert [number for number, _ in metaspace.document("a")] == [1, 6]
    assert metaspace.document("") == [(1, "")]
    assert tiny.document("") == [(tiny.added_tokens["<|im_start|>"], "")]
    assert metaspace.document("</s>a")[0] == (1, "")
    assert 2 not in [number for number, _ in metaspace.document("</s>a")]


@pytest.mark.parametrize(("adds", "expected"), [(True, [1]), (False, [])])
def test_the_tokenizers_own_setting_decides(tmp_path, adds, expected):
    of_metaspace(tmp_path, CHATML)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": adds}))
    assert Renderer(tmp_path).start == expected


@pytest.mark.django_db
def test_ids_are_taken_as_they_are_and_read_as_text_for_the_guards(tiny_policy):
    policy = install(tiny_policy, "tiny-ids")
    renderer = Renderer(policies.directory(policy))
    ids = [renderer.added_tokens["<|im_end|>"], *renderer.continuation(" sun")]
    prompt = raw_prompts.token_ids(policy, ids)
    assert (prompt.ids, prompt.text, prompt.tokens) == (ids, "<|im_end|> sun", len(ids))
    for bad in ([-1], [10**6], [renderer.tokenizer.get_vocab_size()]):
        with pytest.raises(UnknownTokens):
            raw_prompts.token_ids(policy, bad)


def test_a_server_elsewhere_goes_on_from_the_text_and_no_token_of_a_template_stands_in_it(settings):
    settings.CHAT_ENGINE_URLS, settings.CHAT_ENGINE_MODEL = ["http://127.0.0.1:9/v1"], ""
    policy = Policy(name="p", version=1)
    engine = OpenAIEngine(policy)
    body = engine._request(raw_prompts.text(policy, "Say <|im_end|> now"), Parameters(top_logprobs=3, stop=("\n",)))
    assert body["prompt"] == "Say < |im_end|> now"
    assert (body["logprobs"], body["stop"]) == (3, ["\n"])
    assert "messages" not in body
    with pytest.raises(UnknownTokens):
        raw_prompts.token_ids(policy, [1, 2])


async def test_a_server_elsewhere_is_asked_at_the_address_of_raw_completions(settings):
    told = (event("lo", model="p"), event("", "stop", model="p"), b"data: [DONE]\n\n")
    listing = answer(200, json.dumps({"data": [{"id": "p"}]}))
    async with server(HEAD, *told, listing=listing) as (url, calls):
        settings.CHAT_ENGINE_URLS = [url]
        engine = OpenAIEngine(Policy(name="p", version=1))
        pieces = [piece async for piece in engine.stream(PolicyPrompt([], None, 3, text="Hel"), Parameters())]
        await engine.stop()
    assert "".join(piece.text for piece in pieces) == "lo"
    assert calls[0][0].startswith(b"POST /v1/completions ")
    assert json.loads(calls[0][1])["prompt"] == "Hel"
