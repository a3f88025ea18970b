"""The lines of a snapshot's file, as tests read them."""

import json


def lines(snapshot, name):
    return [json.loads(line) for line in (snapshot.path / name).read_text().splitlines()]
