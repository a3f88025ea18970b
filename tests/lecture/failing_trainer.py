"""A training process that fails at once and says why."""

import json
import sys
from pathlib import Path

(Path(sys.argv[2]) / "error.json").write_text(json.dumps({"code": "bad_corpus", "message": "the text is empty"}))
sys.exit(1)
