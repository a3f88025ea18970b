"""The HTTP API for programs, compatible with OpenAI's API of 2023 and of today."""
