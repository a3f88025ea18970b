"""/v1/chat/completions and /v1/completions: from a request to its choices or its stream."""
