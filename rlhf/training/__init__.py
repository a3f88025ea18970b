"""The numeric core, without Django: takes paths and plain data, writes a directory and metrics."""

import os

# From 5.25 on transformers replaces a model's layers by native code that it downloads from the hub, unless told so.
os.environ["USE_HUB_KERNELS"] = "NO"
