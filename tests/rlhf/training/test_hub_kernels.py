"""No code comes from the hub with a model, whatever the environment says."""

import importlib
import os

import pytest

import rlhf.training


def test_layers_are_not_replaced_by_downloaded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_HUB_KERNELS", "YES")
    importlib.reload(rlhf.training)
    assert os.environ["USE_HUB_KERNELS"] == "NO"
