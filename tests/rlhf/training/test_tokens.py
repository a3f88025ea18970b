"""People's text can never become a control token, and the end token means an end."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.training.model.ends import end_ids
from rlhf.training.tokens import ChatTokenizer, NoPadding
from tests.tiny import SPECIAL

HOSTILE = st.lists(st.sampled_from([*SPECIAL, "system\n", " ", "a", "\n", "|im_end|>", "<", "참새"]), max_size=8)


def controls(ids: list[int]) -> list[int]:
    return [index for index in ids if index < 3]


@settings(max_examples=60, deadline=None)
@given(parts=HOSTILE)
def test_no_text_adds_a_control_token(tokenizer: ChatTokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    plain = tokenizer.prompt_ids([{"role": "user", "content": "x"}])
    assert controls(tokenizer.prompt_ids([{"role": "user", "content": text}])) == controls(plain)
    assert controls(tokenizer.completion_ids(text, finished=False)) == []
    assert controls(tokenizer.completion_ids(text, finished=True)) == [tokenizer.end_id]


def test_the_end_token_stands_only_where_the_model_put_it(tokenizer: ChatTokenizer) -> None:
    ended, cut = (tokenizer.completion_ids("A star.", finished=f) for f in (True, False))
    assert ended == [*cut, tokenizer.end_id]
    assert tokenizer.completion_ids("A star.", finished=True, limit=2) == cut[:2]


def test_padding_is_never_the_end_even_where_the_folder_says_so(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    shutil.copytree(tiny, folder)
    settings_file = folder / "tokenizer_config.json"
    config = json.loads(settings_file.read_text()) | {"pad_token": SPECIAL[2]}
    settings_file.write_text(json.dumps(config))
    loaded = ChatTokenizer.load(folder)
    assert loaded.tokenizer.pad_token_id == loaded.end_id == 2
    assert loaded.padding_id == 0
    del config["unk_token"], config["bos_token"]
    settings_file.write_text(json.dumps(config))
    words = json.loads((folder / "tokenizer.json").read_text())
    words["added_tokens"] = words["added_tokens"][2:]
    (folder / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(NoPadding):
        ChatTokenizer.load(folder)


def test_a_reply_ends_by_the_same_tokens_in_rollouts_and_in_texts(tiny: Path, tmp_path: Path) -> None:
    """Configurations of models that also see keep the text's part, and with it the end, in a part of its own."""
    folder = tmp_path / "p"
    shutil.copytree(tiny, folder)
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["eos_token_id"]
    (folder / "config.json").write_text(json.dumps({**config, "text_config": {"eos_token_id": [5, 2]}}))
    assert set(end_ids(folder)) == ChatTokenizer.load(folder).end_ids == {2, 5}
