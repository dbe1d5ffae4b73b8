"""A network whose parameters are divided over processes, by torch's ``fully_shard``, and put together again.

Each process keeps the same share of the rows of every parameter. A block (a child of a list or sequence of layers)
is whole only while it computes; what lies outside of blocks is whole inside a step. The network stays the object it
is: afterwards it has its own parameters again, under their names, tied ones tied, and no hook that it had not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._composable_state import _module_state_mapping
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

__all__ = ["BLOCK", "Piece", "ShardedNetwork"]

# A child of a list or a sequence is a block of its own from this many numbers on: messages for fewer cost more than
# the memory is worth.
BLOCK = 1 << 16

_HOOKS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_state_dict_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)

_LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)


class Piece:
    """One divided parameter.

    Attributes
    ----------
    parameter : nn.Parameter
        The network's own; without elements while it is divided.
    stored : nn.Parameter
        What stands in its place.
    local : nn.Parameter
        This process's rows, in the same memory: what an optimizer moves.
    shape, stride : tuple of int
        Of the whole.
    reached : bool
        Whether a loss of this process reached it while it was watched.
    """

    def __init__(self, parameter: nn.Parameter, stride: tuple[int, ...], places: list[tuple[nn.Module, str]]) -> None:
        self.parameter, self.shape, self.stride, self.places = parameter, parameter.shape, stride, places
        self.stored: Any = parameter
        self.local = parameter
        self.reached = False

    def watch(self) -> Any:
        """Note when a gradient reaches it; to be called while it is whole."""
        module, name = self.places[0]
        return getattr(module, name).register_post_accumulate_grad_hook(lambda _: setattr(self, "reached", True))


class _Room(nn.Module):
    """Inside a call of it, the parameters outside of blocks are whole, whatever is done with the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, work: Callable[[], Any]) -> Any:
        return work()


class ShardedNetwork:
    """Divides a network's parameters over all processes, until `release`.

    Parameters
    ----------
    network : nn.Module
        Equal in all processes. Its parameters are without elements afterwards.

    Attributes
    ----------
    pieces : list of Piece
        The divided parameters, in the network's order. Scalars, and what is not of the first parameter's number
        format, stay whole everywhere.
    blocks : list of nn.Module
        What is whole only while it computes.
    """

    def __init__(self, network: nn.Module) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        places: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
        for module in network.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    places.setdefault(parameter, []).append((module, name))
        dtype = next((p.dtype for p in places if p.is_floating_point()), None)
        self.pieces = [Piece(p, p.stride(), at) for p, at in places.items() if p.ndim and p.dtype == dtype]
        self._of = {piece.parameter: piece for piece in self.pieces}
        self.blocks = list(_blocks(network, self._of))
        self._marks = [(module, _Mark(module)) for module in network.modules()]
        self._kept_views = [block.register_forward_hook(_no_view) for block in self.blocks]
        self._room: Any = _Room(network)
        self._watching: list[Any] = []
        self._outside: list[Piece] = []  # of blocks, until they are watched
        self._divide(places.keys() - self._of.keys())

    def _divide(self, ignored: set[nn.Parameter]) -> None:
        device = self.pieces[0].parameter.device
        mesh = DeviceMesh.from_group(dist.group.WORLD, device.type)  # type: ignore[arg-type]
        for piece in self.pieces:
            piece.parameter.grad = None
            if not piece.parameter.is_contiguous():  # channels last: not taken
                piece.parameter.data = piece.parameter.data.contiguous()
        for module in [*self.blocks, self._room]:
            owned = [self._of[p] for p in module.parameters() if p in self._of]
            whole: Any = fully_shard(
                module, mesh=mesh, reshard_after_forward=module is not self._room, ignored_params=ignored
            )
            # Sums, which the whole count divides; a parameter that this process's rows do not reach counts as zero.
            whole.set_gradient_divide_factor(1.0)
            whole.set_force_sum_reduction_for_comms(True)
            whole.set_reduce_scatter_unused_params(True)
            for piece in owned:
                piece.parameter.data = piece.parameter.data.new_empty(0)
        with torch.no_grad():
            self._room(lambda: None)  # what torch sets up at the first call is known, and undone, only after it
            self._room.reshard()
        for _, mark in self._marks:
            mark.close()
        for piece in self.pieces:
            module, name = piece.places[0]
            piece.stored = module._parameters[name]
            rows = piece.stored.detach().to_local()
            piece.local = nn.Parameter(rows, requires_grad=piece.parameter.requires_grad)

    # -- computing -----------------------------------------------------------------------------------------------

    def __call__(self, work: Callable[[], Any]) -> Any:
        """Return what ``work()`` returns, where the network can be called and its loss differentiated."""
        return self._room(work if not self._outside else partial(self._watched, work))

    @torch.no_grad()
    def answer(self, work: Callable[[], Any]) -> Any:
        """Return what ``work()`` returns, where the network can be called, without gradients."""
        result = self(work)
        self._room.reshard()
        return result

    def watch(self) -> None:
        """Note which pieces a loss reaches from now on."""
        inside = set()
        for block in self.blocks:
            held = [self._of[p] for p in self._parameters_of(block)]
            inside.update(held)
            self._watching.append(block.register_forward_pre_hook(partial(self._enter, held)))
        self._outside = [piece for piece in self.pieces if piece not in inside]
        self._outside = [piece for piece in self._outside if piece.parameter.requires_grad]
        self._seen: dict[Piece, Any] = {}

    def unwatch(self, pieces: list[Piece]) -> None:
        """Watch these no more, and all blocks that have been entered."""
        for handle in self._watching:
            handle.remove()
        self._watching, self._outside = [], []
        for piece in pieces:
            if piece in self._seen:
                self._seen.pop(piece).remove()

    def _parameters_of(self, block: nn.Module) -> list[nn.Parameter]:
        modules = set(block.modules())
        return [piece.parameter for piece in self.pieces if piece.places[0][0] in modules]

    def _enter(self, pieces: list[Piece], module: nn.Module, inputs: Any) -> None:
        for piece in pieces:
            if piece not in self._seen and piece.parameter.requires_grad:
                self._seen[piece] = piece.watch()

    def _watched(self, work: Callable[[], Any]) -> Any:
        self._enter(self._outside, self._room, ())
        return work()

    # -- whole tensors and their parts ---------------------------------------------------------------------------

    def cut(self, whole: Tensor) -> Tensor:
        """Return this process's rows of a tensor that is shaped as a piece."""
        each = -(-len(whole) // self.size)
        return whole[min(self.rank * each, len(whole)) : min((self.rank + 1) * each, len(whole))]

    @torch.no_grad()
    def join(self, rows: Tensor, shape: torch.Size, *, everywhere: bool) -> Tensor | None:
        """Return the whole of which each process passes its rows; on the first alone, and on its processor, if so."""
        each = -(-shape[0] // self.size)
        padded = rows.new_zeros((each, *shape[1:]))
        padded[: len(rows)] = rows.detach()
        parts = [torch.empty_like(padded) for _ in range(self.size)] if everywhere or self.rank == 0 else None
        if everywhere:
            dist.all_gather(parts, padded)
        else:
            dist.gather(padded, parts, dst=0)
        if parts is None:
            return None
        whole = torch.cat(parts)[: shape[0]]
        return whole if everywhere else whole.cpu()

    def joined(self, named: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return named tensors with the divided ones whole, in the first process; nothing of use in others."""
        known: dict[int, Any] = {}  # tied ones stay one
        whole: dict[str, Any] = {}
        for name, value in named.items():
            if not isinstance(value, DTensor):
                whole[name] = value
                continue
            rows = value.to_local()
            key = rows.data_ptr() if rows.numel() else id(rows)
            if key not in known:
                known[key] = self.join(rows, value.shape, everywhere=False)
            whole[name] = known[key]
        return whole

    def divided(self, network: nn.Module, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return named whole tensors as the network's own state is divided, on its device."""
        parts: dict[str, Tensor] = dict(named)
        for name, like in network.state_dict().items():
            if isinstance(like, DTensor) and name in parts:
                if parts[name].shape != like.shape:
                    raise ValueError(f"another shape of {name}")
                parts[name] = like.detach().clone()
                parts[name].to_local().copy_(self.cut(named[name]))  # type: ignore[attr-defined]
        return parts

    # -- the end -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def release(self, *, whole: bool) -> None:
        """Give the network its own parameters back: whole, in every process, or without elements."""
        self.unwatch(list(getattr(self, "_seen", {})))
        for piece in self.pieces:
            if whole:
                value: Any = self.join(piece.local, piece.shape, everywhere=True)
                if value.stride() != piece.stride:
                    laid = torch.empty_strided(piece.shape, piece.stride, dtype=value.dtype, device=value.device)
                    value = laid.copy_(value)
                piece.parameter.data = value
        for handle in self._kept_views:
            handle.remove()
        for module, mark in self._marks:
            mark.undo()
            _module_state_mapping.pop(module, None)
        for piece in self.pieces:
            piece.stored = None
            for module, name in piece.places:
                setattr(module, name, piece.parameter)


class _Mark:
    """What a module was before it was divided, to undo what was added to it."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.kind, self.names = module, type(module), set(vars(module))
        self.hooks = {name: set(getattr(module, name, ())) for name in _HOOKS}
        self.added: set[str] = set()
        self.hooked: dict[str, set[Any]] = {}

    def close(self) -> None:
        """Take what came until now for what is to be undone."""
        self.added = set(vars(self.module)) - self.names
        self.hooked = {name: set(getattr(self.module, name, ())) - known for name, known in self.hooks.items()}

    def undo(self) -> None:
        """Take it away again."""
        self.module.__class__ = self.kind
        for name in self.added:
            vars(self.module).pop(name, None)
        for name, keys in self.hooked.items():
            for key in keys:
                getattr(self.module, name).pop(key, None)


def _blocks(network: nn.Module, pieces: Mapping[nn.Parameter, Piece]) -> Iterator[nn.Module]:
    """Yield the outermost children of lists and sequences that are large and share nothing with what is outside."""
    seen: set[nn.Module] = set()

    def walk(parent: nn.Module) -> Iterator[nn.Module]:
        for child in parent.children():
            if child in seen:
                continue
            seen.add(child)
            listed = isinstance(parent, _LISTS[:2]) and not isinstance(child, _LISTS)
            if listed and _apart(child, pieces):
                yield child
            else:
                yield from walk(child)

    yield from walk(network)


def _apart(block: nn.Module, pieces: Mapping[nn.Parameter, Piece]) -> bool:
    """Whether a block is large, and has its parameters for itself: tied ones are divided together, outside."""
    modules = set(block.modules())
    own = [pieces[p] for p in block.parameters() if p in pieces]
    alone = all(module in modules for piece in own for module, _ in piece.places)
    return alone and sum(piece.parameter.numel() for piece in own) >= BLOCK


def _no_view(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    """Copy an output that is a view: written to in place later, it would lose the hook that fetches the weights."""

    def owned(value: Any) -> Any:
        return value.clone() if isinstance(value, Tensor) and value.requires_grad and value._base is not None else value

    return torch.utils._pytree.tree_map(owned, outputs)
