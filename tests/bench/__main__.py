"""`make bench`: the real model beside its bare engine; with ARGS="load ..." many scripted streams (tests.load),
with ARGS="tuning" a fine-tune of it, with ARGS="first-minutes" a new site while its first ranking tasks are made."""

import sys

from tests.bench import first_minutes, serving, tuning
from tests.load import streams

if sys.argv[1:2] == ["load"]:
    sys.exit(streams.main(sys.argv[2:]))
if sys.argv[1:2] == ["tuning"]:
    sys.exit(tuning.main(sys.argv[2:]))
if sys.argv[1:2] == ["first-minutes"]:
    sys.exit(first_minutes.main(sys.argv[2:]))
serving.main(sys.argv[1:])
