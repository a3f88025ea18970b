"""The models for programs, in the words of OpenAI's API of 2023 and of today."""
