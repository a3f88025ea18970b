"""Every family's prompts are the same ids in serving and in training, and reasoning is asked for only where told."""

import pytest

from chat.prompts.fitting import fit
from chat.prompts.rendering import Renderer
from rlhf.training.artefacts import folder_tokenizer
from rlhf.training.tokens import ChatTokenizer
from tests.families import FAMILIES, THINKING_TEMPLATE, make_folder

ASKED, SAID = (
    {"role": "user", "content": "Why <s> do birds\n sing? 참새 "},
    {"role": "assistant", "content": "A mate."},
)
SYSTEM = {"role": "system", "content": "Be kind."}
TALKS = ([ASKED], [ASKED, SAID, ASKED], [SYSTEM, ASKED], [SYSTEM, ASKED, SAID, ASKED])


@pytest.fixture(params=FAMILIES, scope="module")
def family(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("family")
    folder, draft = make_folder(root / "source", request.param), root / "policy"
    draft.mkdir()
    (draft / "config.json").write_text((folder / "config.json").read_text())
    folder_tokenizer.write("source", folder, draft)
    folder_tokenizer.settle_ends("source", draft)
    return request.param, draft


@pytest.mark.parametrize("talk", TALKS)
def test_what_is_trained_on_is_what_is_served(family, talk):
    trained, served = ChatTokenizer.load(family[1]), Renderer(family[1])
    ids = served.ids(talk)
    assert trained.prompt_ids(talk) == ids
    text = trained.tokenizer.decode(ids)
    assert text.count("Be kind.") == sum(turn == SYSTEM for turn in talk)
    assert text.count("<think>") == (FAMILIES[family[0]].template == THINKING_TEMPLATE)


def test_a_server_elsewhere_is_sent_what_the_template_takes(family):
    """It has the same template, and would refuse instructions, lose them, or reason."""
    sent = fit([SYSTEM, ASKED], Renderer(family[1]), context_tokens=400, completion_tokens=20)
    rendered = ChatTokenizer.load(family[1]).tokenizer.apply_chat_template(
        sent.messages,
        tokenize=False,
        add_generation_prompt=True,
        **({} if sent.thinking is None else {"enable_thinking": sent.thinking}),
    )
    assert rendered.count("Be kind.") == 1
    assert (sent.thinking is False) == (FAMILIES[family[0]].template == THINKING_TEMPLATE)
    assert rendered.count("<think>") == (sent.thinking is False)


def test_reasoning_is_left_on_where_the_site_says_so(family, settings, monkeypatch):
    settings.CHAT_THINKING = "on"
    monkeypatch.setattr(ChatTokenizer, "thinks", True)
    trained, served = ChatTokenizer.load(family[1]), Renderer(family[1])
    assert trained.prompt_ids([ASKED]) == served.ids([ASKED])
    assert "<think>" not in trained.tokenizer.decode(served.ids([ASKED]))


def test_a_reply_is_learnt_with_the_end_of_its_turn_and_padded_with_none(family):
    tokenizer = ChatTokenizer.load(family[1])
    assert tokenizer.end_ids == set(FAMILIES[family[0]].ends)
    assert tokenizer.end_id == 2
    assert tokenizer.padding_id not in tokenizer.end_ids
    assert tokenizer.completion_ids("A mate.", finished=True)[-1] == 2
