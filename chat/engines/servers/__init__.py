"""OpenAI-compatible servers elsewhere: what each holds, how policies get there, and which one takes a stream."""
