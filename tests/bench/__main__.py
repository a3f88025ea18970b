"""`make bench`: the real model beside its bare engine; with ARGS="load ..." many scripted streams (tests.load)."""

import sys

from tests.bench import serving
from tests.load import streams

if sys.argv[1:2] == ["load"]:
    sys.exit(streams.main(sys.argv[2:]))
serving.main(sys.argv[1:])
