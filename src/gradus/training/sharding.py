"""Sharded training: each process keeps a share of the weights, their gradients and the optimizer's memory.

For a network whose training does not fit beside one copy of itself. Torch's ``fully_shard`` fetches weights when they
are needed and sums gradients to where they belong (`gradus.training.sharded_network`). An optimizer here moves the
rows that its process has, as plain tensors: what works on each number alone works on a share of them. The little that
does not (the norm of the whole gradient, the check for NaN, what is written to a checkpoint) asks the others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gradus.core.errors import GradusError, NonFiniteError, SettingError
from gradus.core.storage import memory_limit
from gradus.training.distribution import GradientSum, World, checksum, gone
from gradus.training.losses import Loss
from gradus.training.optimizers import OPTIMIZER_MEMORY, FusedAdam, weights_of

if TYPE_CHECKING:
    from gradus.data.batches import Batch
    from gradus.training.loop import Trainer
    from gradus.training.player import Player
    from gradus.training.sharded_network import Piece

__all__ = ["SHARE", "Sharding", "sharded", "training_bytes"]

# With shard="auto", weights, gradients and the optimizer's memory are divided from this share of a process's memory
# on. The rest is for activations, data, and what is fetched.
SHARE = 0.5

_GONE = re.compile(r"gloo|nccl|connection (closed|reset)|timed? ?out", re.IGNORECASE)
_Reason = tuple[str, str, str]


def training_bytes(network: nn.Module, optimizer: str) -> int:
    """Return the bytes of a network's parameters, their gradients and the optimizer's memory.

    Examples
    --------
    >>> training_bytes(nn.Linear(10, 9), "adam")  # 100 numbers, each four times
    1584
    """
    trained = 1 + OPTIMIZER_MEMORY.get(optimizer, 0)
    return sum(p.nbytes * (1 + trained * p.requires_grad) for p in network.parameters())


def process_memory(device: torch.device) -> int:
    """Return the bytes of memory of a device, divided by the processes of this machine that share it."""
    here = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if device.type != "cuda":
        return memory_limit() // here
    sharing = -(-here // max(1, torch.cuda.device_count()))
    return int(torch.cuda.get_device_properties(device).total_memory) // sharing


@contextmanager
def sharded(trainer: Trainer) -> Iterator[None]:
    """Divide a trainer's network inside the block, if its options ask for it; it is whole again after.

    After an error that the processes do not share nobody can put it together: its parameters are then without
    elements, and ``trainer.lost`` says so.

    Raises
    ------
    SettingError
        If it is asked for and cannot be.
    PeerError
        If another process is gone.
    """
    if trainer.was_sharded:  # its optimizer's memory is in pieces, and they belong to nothing
        raise SettingError("a trainer that has not run yet", "one that has, sharded", "make a new one")
    if not _wanted(trainer):
        yield
        return
    whole = False
    # Torch fetches weights on the device that is current.
    here = torch.cuda.device(trainer.device) if trainer.device.type == "cuda" else nullcontext()
    with here, _explained():
        sharding = Sharding(trainer)
        try:
            yield
            whole = True
        except (NonFiniteError, SystemExit):  # the same in all processes
            whole = True
            raise
        finally:
            trainer.lost = True
            sharding.end(trainer, whole=whole)
            trainer.lost = not whole


def _wanted(trainer: Trainer) -> bool:
    """Whether to divide the network, as all processes agree."""
    player, met, asked = trainer.players[0], trainer.world, trainer.options.shard
    if met is None:
        player.division = "not sharded: one process trains" if asked == "on" else None
        return False
    needed = training_bytes(trainer.network, trainer.options.optimizer)
    large = needed > SHARE * process_memory(trainer.device)
    told = met.gather([asked, large])
    if len({setting for setting, _ in told}) > 1:
        received = ", ".join(setting for setting, _ in told)
        raise SettingError(f"the same shard in all {met.size} processes", received, "start all with the same settings")
    if asked == "off" or (asked == "auto" and not told[0][1]):
        return False
    reason = _refusal(trainer)
    if reason is not None and asked == "on":
        raise SettingError(*reason)
    if reason is not None:
        player.division = f"not sharded: {reason[1]}"
    return reason is None


def _refusal(trainer: Trainer) -> _Reason | None:
    """Return what cannot be sharded: what was expected, what there is, and the mend."""
    options, player, mend = trainer.options, trainer.players[0], "set shard='off'"
    if len(trainer.players) > 1 or not player.moves_all:
        return "one player that moves the whole network where shard='on'", "several, or a part of it", mend
    if options.optimizer in ("muon", "lbfgs"):
        reads = "reads whole matrices" if options.optimizer == "muon" else "searches along whole gradients"
        expected = "an optimizer that treats each number alone where shard='on'"
        return expected, f"{options.optimizer}, which {reads}", f"set optimizer='adamw', or {mend}"
    if options.compile == "on":
        return "compile='off' where shard='on'", "'on'", f"set one of the two: {mend}"
    if trainer.device.type not in ("cpu", "cuda"):
        return "the processor or cuda where shard='on'", trainer.device.type, mend
    if trainer.device.type == "cuda" and "nccl" not in str(dist.get_backend_config()):
        return "a GPU for each process where shard='on'", "fewer", f"start as many processes as GPUs, or {mend}"
    if not any(p.ndim and p.requires_grad for p in trainer.network.parameters()):
        return "a network with parameters of one axis or more where shard='on'", "scalars alone", mend
    if not hasattr(_fully_sharded_module(), "set_reduce_scatter_unused_params"):
        return "torch 2.13 where shard='on'", torch.__version__, f"install it, or {mend}"
    return None


def _fully_sharded_module() -> Any:
    from torch.distributed.fsdp import FSDPModule

    return FSDPModule


class Sharding:
    """A trainer whose network, gradients and optimizer are divided over all processes.

    Parameters
    ----------
    trainer : Trainer
        About to run together with others, with the same weights in every process.

    Attributes
    ----------
    met : World
        The processes.
    network : ShardedNetwork
        The network in pieces; what is trained are its pieces' rows.
    checksum : str
        Of the weights before they were divided.
    """

    def __init__(self, trainer: Trainer) -> None:
        from gradus.training.sharded_network import ShardedNetwork

        self.met: World = trainer.world  # type: ignore[assignment]  # several, as `sharded` has made sure
        self.player = trainer.players[0]
        self.checksum = checksum(trainer.network)
        self._own = [p for p in trainer.network.parameters() if p.requires_grad]
        trainer.lost = trainer.was_sharded = True
        self.network = ShardedNetwork(self.player.network)
        trainer.lost = False
        self.pieces = {piece.local: piece for piece in self.network.pieces}
        self._local = {piece.parameter: piece.local for piece in self.network.pieces}
        self.active = True
        self._give(trainer)

    def _give(self, trainer: Trainer) -> None:
        """Let trainer, player and optimizer work on this process's rows."""
        trainer.sharding = self
        trainer._parameters = [self._rows(p) for p in trainer._parameters]
        if trainer.average is not None:
            average = trainer.average
            average.values = [self._cut(p, value) for p, value in zip(self._own, average.values, strict=True)]
            average.parameters = list(trainer._parameters)
        player = self.player
        player.sharding = self
        player.division = f"sharded over {self.met.size} processes"
        player.parameters = [self._rows(p) for p in player.parameters]
        player.weights = weights_of(player.parameters)
        player._work = self._loss
        player._chain = None  # it reads weights itself
        player._sum = _Sum(self, player)
        player._fused = FusedAdam()
        for optimizer in player.optimizers:
            memory: dict[Any, Any] = dict(optimizer.state)
            optimizer.state.clear()
            for group in optimizer.param_groups:
                group["params"] = [self._rows(p) for p in group["params"]]
            for parameter, held in memory.items():
                optimizer.state[self._rows(parameter)] = {k: self._cut(parameter, v) for k, v in held.items()}

    def _rows(self, parameter: nn.Parameter) -> nn.Parameter:
        return self._local.get(parameter, parameter)

    def _cut(self, parameter: nn.Parameter, value: Any) -> Any:
        """Return this process's rows of what belongs to a parameter and is shaped as it."""
        piece = self.pieces.get(self._rows(parameter))
        shaped = piece is not None and isinstance(value, Tensor) and value.shape == piece.shape
        return self.network.cut(value).clone() if shaped else value

    # -- a step --------------------------------------------------------------------------------------------------

    def _loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        return self.network(partial(self.player.loss, network, batch, generator))

    def evaluation(self, evaluate: Callable[[nn.Module], Mapping[str, float]]) -> Callable[..., Mapping[str, float]]:
        """Return an evaluation that all processes make together, each on all validation data."""
        return lambda network: self.network.answer(partial(evaluate, network))

    def all_true(self, flag: bool) -> bool:
        """Whether a statement holds in every process."""
        return all(self.met.gather(flag))

    @torch.no_grad()
    def clip(self, parameters: Sequence[nn.Parameter], limit: float) -> None:
        """Scale the gradient down to a norm of ``limit``, if that of the whole, over all processes, is larger."""
        held = [p for p in parameters if p.grad is not None]
        gradients: list[Any] = [p.grad for p in held]
        if not gradients:
            return
        squares = torch.stack(torch._foreach_norm(gradients)).double().square()
        divided = torch.tensor([p in self.pieces for p in held], device=squares.device)
        elsewhere = (squares * divided).sum()
        dist.all_reduce(elsewhere)
        norm = (elsewhere + (squares * ~divided).sum()).sqrt()
        factor = (limit / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))

    @contextmanager
    def noisy(self, weights: Sequence[nn.Parameter], deviation: float, generator: torch.Generator) -> Iterator[None]:
        """Add noise to the weights inside the block: the noise that processes with whole weights would add."""
        with torch.no_grad():
            kept = [weight.clone() for weight in weights]
            for weight in weights:
                piece = self.pieces.get(weight)
                shape = weight.shape if piece is None else piece.shape
                noise = torch.empty(shape, dtype=weight.dtype, device=weight.device)
                noise.normal_(0.0, deviation, generator=generator)
                weight.add_(noise if piece is None else self.network.cut(noise))
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(list(weights), kept)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def whole_state(self, named: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return a state by name with its tensors whole, in the process that writes it."""
        return self.network.joined(named)

    def whole_values(self, values: Sequence[Tensor]) -> list[Any]:
        """Return what there is of every trained parameter, whole, in the process that writes it."""
        return [self._joined(self._rows(p), value) for p, value in zip(self._own, values, strict=True)]

    def whole_memory(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """Return an optimizer's state as if it had not been divided: everywhere once training is over."""
        state = optimizer.state_dict()
        held = self._held(optimizer)
        joined = {i: {k: self._joined(held[i], v) for k, v in memory.items()} for i, memory in state["state"].items()}
        return {**state, "state": joined}

    def own_memory(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        """Return this process's rows of a whole state."""
        held = self._held(optimizer)
        memory = {}
        for i, saved in state["state"].items():
            piece = self.pieces.get(held[int(i)])
            memory[i] = {
                k: self.network.cut(v) if piece is not None and isinstance(v, Tensor) and v.shape == piece.shape else v
                for k, v in saved.items()
            }
        return {**state, "state": memory}

    def load_values(self, values: Sequence[Tensor], whole: Sequence[Tensor]) -> None:
        """Put this process's rows of every whole tensor in its place."""
        torch._foreach_copy_(list(values), [self._cut(p, value) for p, value in zip(self._own, whole, strict=True)])

    def own_state(self, network: nn.Module, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return a whole state by name as the network's own is divided."""
        return self.network.divided(network, named)

    @staticmethod
    def _held(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
        return [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def _joined(self, parameter: nn.Parameter, value: Any) -> Any:
        piece: Piece | None = self.pieces.get(parameter)
        if piece is None or not isinstance(value, Tensor) or value.shape != parameter.shape:
            return value
        return self.network.join(value, piece.shape, everywhere=not self.active)

    def end(self, trainer: Trainer, *, whole: bool) -> None:
        """Give the network its parameters back; the optimizer's memory stays where it is."""
        for local in self.pieces:
            local.grad = None
        self.network.release(whole=whole)
        self.active = False
        trainer.sharding = None
        trainer._parameters, trainer._good = self._own, []
        if trainer.monitor is not None:
            trainer.monitor.weights = None


class _Sum:
    """Takes the summed gradients of this process's rows, and divides them by the whole count."""

    def __init__(self, sharding: Sharding, player: Player) -> None:
        pieces = [sharding.pieces[p] for p in player.parameters if p in sharding.pieces]
        rest = [p for p in player.parameters if p not in sharding.pieces]
        self.sharding, self.pieces, self.met = sharding, pieces, sharding.met
        self._rest = GradientSum(self.met, rest, like=player.parameters[0])
        self._moved: set[Piece] | None = None
        sharding.network.watch()

    @torch.no_grad()
    def __call__(self, loss: Loss) -> Loss:
        """Leave the mean gradient of the whole batch in this process's rows; return the whole batch's sums."""
        summed = self._rest(loss)
        moved = self._reached()
        gradients = []
        for piece in self.pieces:
            gradient, piece.stored.grad = piece.stored.grad, None
            if gradient is not None and piece in moved:
                piece.local.grad = gradient.to_local()
                gradients.append(piece.local.grad)
        if gradients:
            if self.met.weight != 1:
                torch._foreach_mul_(gradients, self.met.weight)
            whole: Any = summed.count
            torch._foreach_div_(gradients, whole.to(gradients[0].dtype))
        return summed

    def _reached(self) -> set[Piece]:
        """Return the pieces that some process's first step reached: others get no gradient, and do not move."""
        if self._moved is None:
            flags = zip(*self.met.gather([piece.reached for piece in self.pieces]), strict=True)
            self._moved = {piece for piece, reached in zip(self.pieces, flags, strict=True) if any(reached)}
            self._never = [piece for piece in self.pieces if piece not in self._moved]
            self.sharding.network.unwatch(list(self._moved))
        elif any(piece.reached for piece in self._never):
            raise SettingError(
                "a loss that reaches the same parameters at every step where several processes train",
                "one that reached another later",
                "start it without torchrun",
            )
        return self._moved


@contextmanager
def _explained() -> Iterator[None]:
    """Say in a sentence what torch says of a network that cannot be divided, or of a process that is gone."""
    try:
        yield
    except GradusError:
        raise
    except RuntimeError as error:
        words = str(error).strip()
        if "mixed torch.Tensor and DTensor" in words:
            raise SettingError(
                "a network that calls its large blocks as modules where it is sharded",
                "one that reads the weights of a block from outside",
                "set shard='off'",
            ) from error
        if isinstance(error, dist.DistError) or _GONE.search(words):
            raise gone(error) from error
        raise
