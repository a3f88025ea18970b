"""A base computed by transformers: any family with linear projections in layers that hand on one tensor.

What cannot be told by looking at a model is checked once when it is loaded: that trunk, top and head together give
the logits of the model's own forward pass, and rows of different lengths that grow by its cache do, too. The residual
stream is of the weights' dtype, as transformers has it.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from rlhf.training import processes
from rlhf.training.model.adapter import Adapter
from rlhf.training.model.ends import end_ids
from rlhf.training.model.library import parts
from rlhf.training.model.library.loading import Loading, load_model
from rlhf.training.model.library.module_adapter import AdapterSwitch, Chosen, ModuleAdapter, own_kind
from rlhf.training.model.library.rows import LibraryRows
from rlhf.training.model.library.split import Split
from rlhf.training.model.rope import UnsupportedArchitecture

CHECKED = 6
"""Tokens of the row that a loaded model is checked on."""
ROUNDING = {torch.float32: 1e-3, torch.float64: 1e-6}
"""How far its logits may be off, as a share of their spread; 0.1 for dtypes of 16 bits, in which an expert may be
another one by rounding."""


@dataclass(frozen=True)
class LibraryConfig:
    """The facts of a base that stages ask for."""

    hidden_size: int
    layers: int
    max_positions: int
    eos: tuple[int, ...]


class LibraryDecoder:
    """A frozen model of transformers, one of the backends (decoder.py)."""

    backend = "transformers"

    def __init__(self, model: Any, *, adapted_layers: int, eos: tuple[int, ...], loading: Loading) -> None:
        self.model, self._loading = model, loading
        config = parts.text_config(model)
        limit = getattr(config, "max_position_embeddings", None) or 2048
        self.config = LibraryConfig(config.hidden_size, config.num_hidden_layers, limit, eos)
        self.trunk_layers = self.config.layers - min(adapted_layers, self.config.layers)
        self._decoder = model.get_decoder()
        _, layers = parts.layers_of(self._decoder, self.config.layers)
        self._divided: list[FSDPModule] = []
        self.switch = AdapterSwitch(parts.projections(model, list(layers[self.trunk_layers :])))
        contexts = self.switch.for_checkpoints if loading.checkpointing else None
        self.split = Split(layers, self.trunk_layers, contexts)
        self.head = parts.head_of(model)
        self._last_norm = parts.LastNorm(self._decoder)
        known = inspect.signature(self._decoder.forward).parameters
        self._cache_name = "cache" if "cache" in known else "past_key_values"
        self._check()

    @classmethod
    def load(cls, directory: Path, *, adapted_layers: int = 10, loading: Loading | None = None) -> "LibraryDecoder":
        """Read a policy directory. Raises UnsupportedArchitecture."""
        asked = loading or Loading()
        model = load_model(directory, asked)
        made = cls(model, adapted_layers=adapted_layers, eos=end_ids(directory), loading=asked)
        if processes.shards_base():
            made._divide()
        return made

    def _divide(self) -> None:
        """Of each layer every process keeps a part and gathers the rest when the layer runs; embedding and head stay
        whole in each."""
        mesh = init_device_mesh(self.device.type, (processes.count(),))
        _, layers = parts.layers_of(self._decoder, self.config.layers)
        self._divided = [fully_shard(layer, mesh=mesh, reshard_after_forward=True) for layer in layers]
        self.switch.is_divided = True

    @contextmanager
    def gathered(self) -> Iterator[None]:
        self._keep_gathered(True)
        try:
            yield
        finally:
            self._keep_gathered(False)

    def _keep_gathered(self, wanted: bool) -> None:
        for layer in self._divided:
            layer.set_reshard_after_forward(not wanted)
            layer.unshard() if wanted else layer.reshard()

    @property
    def embedding(self) -> Tensor:
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    @property
    def residual_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    def run_trunk(self, ids: Tensor) -> Tensor:
        """In the weights' dtype; without a mask, since pads on the right are seen by nothing that counts."""
        with torch.no_grad(), self.split.trunk() as split:
            self._decoder(input_ids=ids.to(self.device), use_cache=False)
            return split.states

    def run_top(
        self,
        states: Tensor,
        adapter: Adapter | None = None,
        *,
        weights: Chosen = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        chosen = weights if weights is not None else None if adapter is None else own_kind(adapter)
        states = states.to(self.device, self.dtype)
        with self.switch.using(chosen), self.split.top(states):
            hidden: Tensor = self._decoder(inputs_embeds=states, use_cache=False).last_hidden_state
        hidden = hidden.to(self.residual_dtype)
        if lengths is None:
            return hidden
        inside = torch.arange(hidden.shape[1], device=self.device) < lengths.to(self.device)[:, None]
        return hidden.where(inside[..., None], hidden.new_zeros(()))

    def run_cached(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any, chosen: Chosen) -> Tensor:
        """New ids [R, T] of rows whose earlier tokens are in `cache`; mask [R, all columns] -> hidden [R, T, D]."""
        with torch.no_grad(), self.switch.using(chosen):
            given = {"attention_mask": mask, "position_ids": positions, self._cache_name: cache}
            hidden: Tensor = self._decoder(input_ids=ids, use_cache=True, **given).last_hidden_state
        return hidden.to(self.residual_dtype)

    def merge(self, adapter: Adapter) -> Chosen:
        return self.switch.merged(own_kind(adapter))

    def fast_top(self, adapter: Adapter | None) -> Chosen:
        return None if adapter is None else self.merge(adapter)

    def final_norm(self, states: Tensor) -> Tensor:
        return self._last_norm(states.to(self.device, self.dtype)).to(self.residual_dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        with torch.no_grad():
            return self.head.logits(hidden)

    def fresh_adapter(self, *, rank: int, alpha: float, seed: int) -> ModuleAdapter:
        return ModuleAdapter.fresh(self.switch.modules, self.device, rank=rank, alpha=alpha, seed=seed)

    def grow(self, prompts: Sequence[Sequence[int]], *, copies: int, max_tokens: int, weights: Chosen) -> LibraryRows:
        return LibraryRows(self, weights, prompts, copies=copies, max_tokens=max_tokens)

    def with_top_of(self, directory: Path) -> "LibraryDecoder":
        """The other model is read whole, and all but its top given up for this one's."""
        model = load_model(directory, self._loading, own=False)
        top = tuple(f"{name}." for name, module in model.named_modules() if module in self._top_of(model))
        for kind in ("parameters", "buffers"):
            for name, tensor in getattr(self.model, f"named_{kind}")(remove_duplicate=False):
                if not name.startswith(top):
                    parent, _, leaf = name.rpartition(".")
                    getattr(model.get_submodule(parent), f"_{kind}")[leaf] = tensor
        model.to(self.device)
        adapted = self.config.layers - self.trunk_layers
        return LibraryDecoder(model, adapted_layers=adapted, eos=self.config.eos, loading=self._loading)

    def shares_trunk(self, other: Any) -> bool:
        return self.embedding is other.embedding and self.trunk_layers == other.trunk_layers

    def _top_of(self, model: Any) -> list[Any]:
        _, layers = parts.layers_of(model.get_decoder(), self.config.layers)
        return list(layers[self.trunk_layers :])

    def _check(self) -> None:
        """Raises UnsupportedArchitecture."""
        try:
            off = self._off()
        except (RuntimeError, ValueError, TypeError) as error:
            raise self._unsupported(str(error)) from error
        if not off <= ROUNDING.get(self.dtype, 0.1):
            raise self._unsupported("its layers, run in two parts or with a cache, do not give its own logits")

    def _unsupported(self, reason: str) -> UnsupportedArchitecture:
        return UnsupportedArchitecture("architectures", type(self.model).__name__, reason)

    @torch.no_grad()
    def _off(self) -> float:
        """How far the logits of trunk, top and head, and those of rows that grow, are from the model's own: the mean
        difference as a share of their spread."""
        ids = torch.arange(1, CHECKED + 1, device=self.device) % len(self.embedding)
        expected = self.model(input_ids=ids[None], use_cache=False).logits[0].float()
        whole = self.logits(self.run_top(self.run_trunk(ids[None])))[0].float()
        rows = self.grow([ids[:1].tolist(), ids[:-2].tolist()], copies=1, max_tokens=1, weights=None)
        both = torch.arange(2, device=self.device)
        begun = rows.begin(keep_states=False)
        rows.append(both, ids[[1, -2]])
        grown = self.logits(torch.cat([begun, rows.next(both)])).float()
        wanted = expected[[0, CHECKED - 3, 1, CHECKED - 2]]
        differences = torch.cat([whole - expected, grown - wanted]).abs().mean()
        return float(differences / expected.std())
