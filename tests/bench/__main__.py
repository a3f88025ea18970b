"""`make bench`: the real model beside its bare engine; with ARGS="load ..." many scripted streams (tests.load),
with ARGS="tuning" a fine-tune of it, with ARGS="first-minutes" a new site while its first ranking tasks are made,
with ARGS="human --data FOLDER" the reward model on published rankings by people."""

import sys

from tests.bench import first_minutes, human, serving, tuning
from tests.load import streams

OTHERS = {"load": streams.main, "tuning": tuning.main, "first-minutes": first_minutes.main, "human": human.main}

if (other := OTHERS.get("".join(sys.argv[1:2]))) is not None:
    sys.exit(other(sys.argv[2:]))
serving.main(sys.argv[1:])
