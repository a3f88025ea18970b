"""Statistics of judgements made by several people; plain arrays in and figures out, without Django."""
