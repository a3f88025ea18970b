"""Any decoder that transformers knows as a backend: split into trunk and top, adapted by hooks, sampled with its own
cache."""
