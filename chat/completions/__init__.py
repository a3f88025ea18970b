"""Completions for programs, tasks and commands: the same queue, engines and guards as replies."""
