"""State of the tests lives in a directory of its own, made before settings are read."""

import os
import tempfile

HOME = tempfile.mkdtemp(prefix="chamsae-test-")
os.environ["CHAMSAE_HOME"] = HOME
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
