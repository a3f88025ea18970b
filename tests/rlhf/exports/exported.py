"""Exports of every format, and what a trainer sees of them, for tests."""

import json

from rlhf.exports import writing


def export(folder, key, kind="jsonl", **wanted):
    writing.write_folder(folder, writing.ExportRequest(key, kind, **wanted))
    return folder


def rows(path, key, **wanted):
    """Of both sides, as one file."""
    writing.write_one(path, writing.ExportRequest(key, "jsonl", **wanted))
    return [json.loads(line) for line in path.read_text().split("\n") if line]
