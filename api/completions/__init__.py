"""Chat completions and plain completions: from a request to its choices or its stream."""
