"""The lecture's stage: what it publishes, what it measures, and that a stop in between changes nothing."""

import json
from pathlib import Path

import pytest

from rlhf.training.artefacts import checkpoints
from rlhf.training.lecture import stage, teaching_counts
from rlhf.training.run import RunDirectory, Stopped

TEXT = "\n\n".join(f"The king number {n} of the land said that {n % 7} and {n % 3} are here ." for n in range(60))


@pytest.fixture
def ordered(tmp_path):
    """A run directory by its name."""
    (tmp_path / "text.txt").write_text(TEXT)

    def make(name, **changed):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        config = {
            "source": str(tmp_path / "text.txt"),
            "title": "text",
            "families": ["counting"],
            "output": str(folder / "lecture"),
            **changed,
        }
        (folder / "config.json").write_text(json.dumps(config))
        return RunDirectory(folder)

    return make


def files_of(run):
    output = run.directory("output")
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name not in (checkpoints.MANIFEST, teaching_counts.FIGURES)
    }


def test_more_context_is_worth_more_and_counting_alone_calls_words_impossible(ordered):
    run = ordered("run")
    models = stage.run(run)["families"]["counting"]["models"]
    assert models["kneser-ney 3"]["perplexity"] < models["kneser-ney 2"]["perplexity"]
    assert models["3-gram"]["perplexity"] is None
    assert 0 < models["3-gram"]["impossible_share"] < 1
    for part in ("corpus", "counting"):
        checkpoints.verify(run.directory("output") / part)


def test_a_stop_in_between_changes_nothing(ordered, monkeypatch):
    whole, broken = ordered("whole"), ordered("broken")
    stage.run(whole)
    measured = teaching_counts._measured

    def stop_then_measure(*arguments):
        broken.stop()
        return measured(*arguments)

    monkeypatch.setattr(teaching_counts, "_measured", stop_then_measure)
    with pytest.raises(Stopped):
        stage.run(broken)
    monkeypatch.undo()
    corpus = broken.directory("output") / "corpus" / "tokens.safetensors"
    made_at = corpus.stat().st_mtime_ns
    stage.run(RunDirectory(broken.path))
    assert corpus.stat().st_mtime_ns == made_at
    assert files_of(broken) == files_of(whole)


def test_a_later_run_reads_the_corpus_of_an_earlier_one(ordered):
    first = ordered("first")
    stage.run(first)
    second = ordered("second", corpus=str(first.directory("output") / "corpus"), source="gone")
    stage.run(second)
    assert not (second.directory("output") / "corpus").exists()
    assert files_of(second).keys() == {"counting/counts.safetensors"}


def test_a_family_that_nobody_teaches_is_refused_before_anything_is_read(ordered):
    with pytest.raises(stage.UnknownFamily, match="astrology"):
        stage.run(ordered("run", families=["astrology"]))
    assert not Path(ordered("run").directory("output")).exists()
