"""The lines of a snapshot's file, as tests read them."""

import json


def lines(snapshot, name):
    """None where the file is left out for having none."""
    path = snapshot.path / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
