"""One tiny policy for all tests of training; they write elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rlhf.training.tokens import ChatTokenizer
from tests.tiny import make_tiny_policy


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """A stage that ran in this process flushes them from then on, and Hypothesis then draws no floats."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_policy(tmp_path_factory.mktemp("tiny") / "policy")


@pytest.fixture(scope="session")
def tokenizer(tiny: Path) -> ChatTokenizer:
    return ChatTokenizer.load(tiny)
