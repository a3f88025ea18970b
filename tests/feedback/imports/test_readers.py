"""Each format gives the judgements that are in it, and says of the rest why it is left out."""

import gzip
import json

import pytest

from feedback.imports import lines
from feedback.imports.errors import ImportTooLarge, UnreadableImport
from feedback.imports.formats import FORMATS, judgements
from feedback.imports.reasons import LeftOutReason, UnusableLine

ASKED = [{"role": "user", "content": "Why?"}]


def read(key, line):
    return list(judgements(FORMATS[key], line))


def one(key, line):
    (found,) = read(key, line)
    return found


def node(text, role="prompter", replies=(), **fields):
    return {"text": text, "role": role, "lang": "en", "replies": list(replies), **fields}


def reply(text, rank, **fields):
    return node(text, "assistant", rank=rank, **fields)


# --- Open-Assistant -----------------------------------------------------------------------------------------------


def test_a_tree_gives_a_ranking_for_each_question_with_two_ranked_replies():
    deeper = node("And then?", replies=[reply("c", 1), reply("d", 0)])
    tree = {"prompt": node("Why?", replies=[reply("a", 0, replies=[deeper], model_name="m"), reply("b", 2)])}
    first, second = read("oasst", tree)
    assert (first.prompt, [r.text for r in first.replies], first.ranks) == (ASKED, ["a", "b"], [1, 2])
    assert (first.replies[0].policy, first.said.language) == ("m", "en")
    assert [turn["content"] for turn in second.prompt] == ["Why?", "a", "And then?"]
    assert (second.ranks, [r.text for r in second.replies]) == ([2, 1], ["c", "d"])


@pytest.mark.parametrize("gone", [{"deleted": True}, {"review_result": False}, {"rank": None}, {"rank": True}])
def test_a_reply_that_reviewers_took_out_is_not_compared(gone):
    tree = {"prompt": node("Why?", replies=[reply("a", 0), {**reply("b", 1), **gone}])}
    assert one("oasst", tree).reason == LeftOutReason.FEW_REPLIES


def test_a_bad_branch_leaves_the_others():
    tree = {"prompt": node("Why?", replies=[reply("a", 0, replies=[node("x", role="robot")]), reply("b", 1)])}
    good, bad = read("oasst", tree)
    assert (good.ranks, bad.reason, bad.about) == ([1, 2], LeftOutReason.MISSING, "role")


# --- hh-rlhf ------------------------------------------------------------------------------------------------------


def test_two_transcripts_are_a_prompt_and_two_replies():
    start = "\n\nHuman: Hi: there\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:"
    found = one("hh-rlhf", {"chosen": f"{start} Because.", "rejected": f"{start} No.\nHuman nature."})
    assert [turn["content"] for turn in found.prompt] == ["Hi: there", "Hello.", "Why?"]
    assert ([r.text for r in found.replies], found.ranks) == (["Because.", "No.\nHuman nature."], [1, 2])


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: b\n\nAssistant: y", LeftOutReason.DIFFERENT_CONTEXT),
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: a\n\nAssistant: x", LeftOutReason.SAME_TEXT),
        ("\n\nHuman: a\n\nHuman: b\n\nAssistant: x", "\n\nHuman: a\n\nHuman: b\n\nAssistant: y", LeftOutReason.TURNS),
        ("no speaker", "none", LeftOutReason.MISSING),
        ("\n\nHuman: a", "\n\nHuman: a", LeftOutReason.NO_PROMPT),
        ("\n\nHuman: a\n\nAssistant: \x00", "\n\nHuman: a\n\nAssistant: y", LeftOutReason.FORBIDDEN),
        ("\n\nHuman: a\n\nAssistant: \ud800", "\n\nHuman: a\n\nAssistant: y", LeftOutReason.FORBIDDEN),
        ("\n\nHuman: a\n\nAssistant: " + "x" * 100_001, "\n\nHuman: a\n\nAssistant: y", LeftOutReason.TOO_LONG),
        (7, None, LeftOutReason.MISSING),
    ],
)
def test_a_pair_that_is_none_says_why(chosen, rejected, reason):
    assert one("hh-rlhf", {"chosen": chosen, "rejected": rejected}).reason == reason


# --- Chatbot Arena ------------------------------------------------------------------------------------------------


def battle(winner, last=("x", "y"), **fields):
    sides = {
        f"conversation_{side}": [*ASKED, {"role": "assistant", "content": text}]
        for side, text in zip("ab", last, strict=True)
    }
    return {
        "model_a": "m1",
        "model_b": "m2",
        "winner": winner,
        "judge": "u1",
        "language": "English",
        **sides,
        **fields,
    }


@pytest.mark.parametrize(
    ("winner", "ranks"), [("model_a", [1, 2]), ("model_b", [2, 1]), ("tie", [1, 1]), ("tie (bothbad)", [1, 1])]
)
def test_a_battle_names_its_models_and_its_winner(winner, ranks):
    found = one("arena", battle(winner))
    assert (found.ranks, [r.policy for r in found.replies], found.shown) == (ranks, ["m1", "m2"], [0, 1])
    assert (found.said.annotator, found.said.language) == ("u1", "en")


def test_a_conversation_may_be_a_list_in_a_string():
    sides = {key: json.dumps(value) for key, value in battle("tie").items() if key.startswith("conversation")}
    assert one("arena", battle("model_a", **sides)).prompt == ASKED


@pytest.mark.parametrize("winner", [None, "", "model_c", ["model_a"]])
def test_a_battle_without_a_winner_is_left_out(winner):
    assert one("arena", battle(winner)).reason == LeftOutReason.NO_CHOICE


# --- Argilla and Label Studio -------------------------------------------------------------------------------------


def test_argilla_s_rankings_name_fields_and_people():
    order = [{"value": "r1", "rank": 2}, {"value": "r2", "rank": 1}]
    record = {
        "fields": {"prompt": "Why?", "r1": "a", "r2": "b"},
        "responses": {
            "better": [
                {"value": order, "user_id": "ann"},
                {"value": "r1", "user_id": "bob", "status": "submitted"},
                {"value": order, "user_id": "cat", "status": "draft"},
                {"value": "r9", "user_id": "dan"},
            ]
        },
    }
    first, second, bad = read("argilla", record)
    assert ([r.text for r in first.replies], first.ranks, first.said.annotator) == (["a", "b"], [2, 1], "ann")
    assert (second.ranks, second.said.annotator, bad.reason) == ([1, 2], "bob", LeftOutReason.NO_CHOICE)


def test_argilla_s_first_layout_is_read_as_well():
    values = {"better": {"value": "r2"}}
    record = {
        "fields": {"instruction": "Why?", "r1": "a", "r2": "b"},
        "responses": [{"user_id": "ann", "status": "submitted", "values": values}],
    }
    assert one("argilla", record).ranks == [2, 1]


def task(*results, data=None, **annotation):
    whole = {"prompt": "Why?", "answer1": "a", "answer2": "b"} if data is None else data
    made = {"completed_by": {"id": 4, "email": "p@x.org"}, "lead_time": 3.5, "result": list(results), **annotation}
    return {"data": whole, "annotations": [made]}


def test_label_studio_s_pairs_say_which_side_was_selected_and_how_long_it_took():
    pair = {"type": "pairwise", "to_name": "answer1,answer2", "value": {"selected": "right"}}
    found = one("label-studio", task(pair))
    assert ([r.text for r in found.replies], found.ranks, found.shown) == (["a", "b"], [2, 1], [0, 1])
    assert (found.said.annotator, found.said.seconds) == ("4", 3.5)
    assert one("label-studio", task(pair, was_cancelled=True)).reason == LeftOutReason.NO_JUDGEMENT


def test_label_studio_s_ranker_lists_ids_best_first():
    data = {"prompt": "Why?", "items": [{"id": "i1", "body": "a"}, {"id": "i2", "body": "b"}]}
    found = one("label-studio", task({"type": "ranker", "value": {"ranker": {"rank": ["i2", "i1"]}}}, data=data))
    assert ([r.text for r in found.replies], found.ranks) == (["b", "a"], [1, 2])
    short = one("label-studio", task({"type": "ranker", "value": {"ranker": ["i2"]}}, data=data))
    assert short.reason == LeftOutReason.RANKS


# --- TRL and this site's own --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "chosen": "a", "rejected": "b"},
        {"prompt": ASKED, "chosen": [{"role": "assistant", "content": "a"}], "rejected": "b"},
        {
            "chosen": [*ASKED, {"role": "assistant", "content": "a"}],
            "rejected": [*ASKED, {"role": "assistant", "content": "b"}],
        },
    ],
)
def test_preference_rows_of_each_type_are_read(row):
    found = one("trl-preference", {**row, "margin": 0.5, "weight": 9})
    assert (found.prompt, [r.text for r in found.replies]) == (ASKED, ["a", "b"])
    assert (found.ranks, found.margins) == ([1, 2], [(0, 1, 0.5)])


def test_unpaired_rows_are_thumbs():
    found = one("trl-kto", {"prompt": ASKED, "completion": "a", "label": False, "annotator": "ann"})
    assert (found.reply.text, found.is_up, found.said.annotator) == ("a", False, "ann")


@pytest.mark.parametrize(
    ("key", "change", "about"),
    [
        ("trl-preference", {"margin": float("nan")}, "margin"),
        ("trl-preference", {"margin": 10**400}, "margin"),
        ("trl-preference", {"split": "test"}, "split"),
        ("trl-preference", {"shown": [0, 0]}, "shown"),
        ("trl-kto", {"label": "yes"}, "label"),
        ("trl-kto", {"label": 2}, "label"),
        ("trl-kto", {"simulated": "no"}, "simulated"),
        ("rankings", {"ranks": [1, "2"]}, "ranks"),
        ("rankings", {"ranks": [0, 1]}, "ranks"),
        ("rankings", {"margins": [{"better": 0, "worse": 2, "margin": 1}]}, "margins"),
        ("flags", {"label": None}, "label"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(key, change, about):
    base = {
        "trl-preference": {"prompt": "Why?", "chosen": "a", "rejected": "b"},
        "trl-kto": {"prompt": "Why?", "completion": "a", "label": True},
        "rankings": {"prompt": "Why?", "completions": ["a", "b"], "ranks": [1, 2]},
        "flags": {"prompt": "Why?", "completion": "a", "rule": "r", "label": True},
    }[key]
    assert not isinstance(one(key, base), UnusableLine)
    found = one(key, {**base, **change})
    assert (found.reason, found.about) == (LeftOutReason.MISSING, about)


@pytest.mark.parametrize("count", [1, 27])
def test_a_ranking_of_one_or_of_too_many_is_left_out(count):
    row = {"prompt": "Why?", "completions": ["a"] * count, "ranks": [1] * count}
    assert one("rankings", row).reason == (LeftOutReason.FEW_REPLIES if count == 1 else LeftOutReason.MANY_REPLIES)


@pytest.mark.parametrize("key", FORMATS)
@pytest.mark.parametrize("line", [{}, {"prompt": {"a": []}}, {"fields": [], "data": 3, "chosen": {}, "winner": 1}])
def test_rubbish_is_left_out_by_every_reader(key, line):
    assert isinstance(one(key, line), UnusableLine)


# --- files --------------------------------------------------------------------------------------------------------


def numbered(path, limit_mb=1):
    return list(lines.read(path, limit_mb))


def test_lines_a_list_and_packed_lines_are_read_alike(tmp_path):
    rows = [{"a": 1}, {"a": 2}]
    text = "\ufeff" + "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "lines").write_text(text)
    (tmp_path / "list").write_text(json.dumps(rows, indent=1))
    (tmp_path / "packed").write_bytes(gzip.compress(text.encode()))
    for name in ("lines", "list", "packed"):
        assert numbered(tmp_path / name) == [(1, rows[0]), (2, rows[1])], name


def test_what_is_no_object_is_named_by_its_line(tmp_path):
    path = tmp_path / "f"
    deep = b"[" * 100_000
    path.write_bytes(b'{"a": 1}\n\xff\xfe\n\n[1]\n' + b'{"a":' + deep + b'\n{"b": 2}')
    found = numbered(path)
    assert [number for number, _line in found] == [1, 2, 4, 5, 6]
    reasons = [line.reason for _number, line in found if isinstance(line, UnusableLine)]
    assert reasons == [LeftOutReason.NOT_UTF8, LeftOutReason.NOT_JSON, LeftOutReason.NOT_JSON]


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(b'{"a": "' + b"x" * 3_000_000 + b'"}\n'))
    assert path.stat().st_size < 10_000
    with pytest.raises(ImportTooLarge):
        numbered(path)
    path.write_bytes(gzip.compress(b"[" + b" " * 3_000_000 + b"]"))
    with pytest.raises(ImportTooLarge):
        numbered(path)


@pytest.mark.parametrize(
    "content", [b"[1, 2", b"\x1f\x8bnot packed", gzip.compress(b"{}\n" * 999, mtime=0)[:-9], b"PAR1 no"]
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "damaged"
    path.write_bytes(content)
    with pytest.raises(UnreadableImport):
        numbered(path)


def test_a_line_that_is_too_long_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MOST_OF_A_LINE", 50)
    path = tmp_path / "long"
    path.write_text('{"a": 1}\n' + json.dumps({"a": "x" * 500}) + '\n{"b": 2}\n')
    found = numbered(path)
    assert [getattr(line, "reason", line) for _number, line in found] == [{"a": 1}, LeftOutReason.TOO_LONG, {"b": 2}]
