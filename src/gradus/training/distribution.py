"""Several processes train one network: each takes its share of every batch, and their gradients are summed.

``torchrun --nproc-per-node 2 -m gradus fit ...`` starts the same program twice; what it says in the environment is all
there is to set. A loss here is a sum and a count, so the sum of the processes' gradients over the sum of their counts
is the gradient of the whole batch, whatever the shares and weights. One all-reduce of the flattened gradients, with
loss and count at their end, is then all that a step needs: no wrapper around the network, no averages of averages.
Everything that decides the next step (a signal, a budget of time, a validation value) is decided by one process and
told to the others at the same step, so all weights stay equal to the last bit.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing import current_process
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gradus.core.devices import processes_launched
from gradus.core.errors import NonFiniteError, PeerError, SettingError
from gradus.core.randomness import default_generator, derive
from gradus.core.strict_json import dump_json, parse_json
from gradus.data.batches import Batch
from gradus.training.losses import Loss

if TYPE_CHECKING:
    from gradus.training.loop import Trainer

__all__ = ["GradientSum", "World", "agreed", "checksum", "gone", "is_first", "launched", "parting", "world"]

# Waiting for the others to come, and in the middle of a step; then for what one of them does alone between steps
# (baselines, a validation, a checkpoint). A process that ends is noticed at once: its connections close.
MEETING, WORK = timedelta(minutes=10), timedelta(days=1)
# Gradients are summed in pieces of this many numbers, each on its way while the next is gathered.
BUCKET = 1 << 23
# Seconds between two meetings of the processes, as between two ticks of a loop that is alone.
PAUSE_SECONDS = 0.2

_JOINED = "GRADUS_JOINED"
_PLACE = re.compile(r"^\[[^\]]*\]\s*")  # in the source of gloo, before its words
_state: dict[str, World | None] = {"world": None}


def launched() -> bool:
    """Whether this process is one of several that train together.

    Processes that it starts itself (a search's workers, a command) inherit the environment, and are not.
    """
    if processes_launched() < 2 or current_process().name != "MainProcess":
        return False
    return os.environ.get(_JOINED, str(os.getpid())) == str(os.getpid())


def world() -> World | None:
    """Return the processes that train together, met at the first call; None where this one is alone.

    Raises
    ------
    PeerError
        If the others do not come, or this process has left them after an error.
    """
    if not launched():
        return None
    met = _state["world"]
    if met is None:
        met = _state["world"] = World()
    if met.left:
        raise PeerError("processes that train together", "one that left after an error", "start all of them again")
    return met


def is_first() -> bool:
    """Whether this process is the one that writes and shows: the first of several, or alone."""
    return not launched() or os.environ.get("RANK") == "0"


def agreed(value: Any) -> Any:
    """Return the first process's value, plain as JSON; alone, one's own.

    Examples
    --------
    >>> agreed(7)
    7
    """
    met = world()
    return value if met is None else met.first(value)


@contextmanager
def parting(met: World | None) -> Iterator[None]:
    """Leave the others where the block ends in an error that they do not share, and would wait for ever.

    A loss that is not finite is the same in all processes.
    """
    try:
        yield
    except NonFiniteError:
        raise
    except SystemExit:  # of a signal, which all have agreed on
        raise
    except BaseException:
        if met is not None:
            met.leave()
        raise


class World:
    """The processes that train together.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are. Process 0 decides and writes.
    weight : float
        What each of this process's examples counts in the current step.
    least : int
        Rows of the current batch that every process has at least.
    left : bool
        Whether this process went away after an error that the others do not share.
    """

    def __init__(self) -> None:
        with _others():
            if not dist.is_initialized():
                dist.init_process_group(_backend(), timeout=MEETING)
                atexit.register(_part)
            self._control: dist.ProcessGroup | None = dist.new_group(backend="gloo", timeout=WORK)
        os.environ[_JOINED] = str(os.getpid())
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.weight, self.least, self.left = 1.0, 1, False
        self._met = 0.0
        self._met_step = 0

    # -- messages ------------------------------------------------------------------------------------------------

    def gather(self, message: Any) -> list[Any]:
        """Return every process's message, plain as JSON, in the order of their numbers."""
        own = torch.frombuffer(bytearray(dump_json(message)), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with _others():
            dist.all_gather(sizes, torch.tensor([len(own)]), group=self._control)
            longest = max(int(size) for size in sizes)
            padded = torch.cat([own, own.new_zeros(longest - len(own))])
            parts = [torch.empty_like(padded) for _ in range(self.size)]
            dist.all_gather(parts, padded, group=self._control)
        return [
            parse_json(part[: int(size)].numpy().tobytes(), "a message")
            for part, size in zip(parts, sizes, strict=True)
        ]

    def first(self, value: Any) -> Any:
        """Return the first process's value; the others' is not looked at."""
        return self.gather(value if self.rank == 0 else None)[0]

    def leave(self) -> None:
        """Go away after an error that the others do not share: they would wait for ever."""
        self.left = True
        _part()

    # -- a training ----------------------------------------------------------------------------------------------

    def begin(self, trainer: Trainer) -> None:
        """Make sure that all processes are about to take the same steps from the same weights.

        Raises
        ------
        SettingError
            If they are not.
        """
        own = {
            "data and settings": trainer.tag,
            "number of batches": len(trainer.batches),
            "seed": trainer.seed,
            "position": [trainer.epoch, trainer.offset, trainer.step],
            "weights": checksum(trainer.network) if trainer.sharding is None else trainer.sharding.checksum,
            "budget": [trainer.options.max_epochs, trainer.options.max_steps, trainer.options.batch_size],
        }
        told = self.gather(own)
        for rank, other in enumerate(told):
            for name, value in told[0].items():
                if other[name] != value:
                    received = f"{other[name]} in process {rank}, {value} in process 0"
                    mend = "start all with the same data and settings, and set random_state"
                    raise SettingError(f"the same {name} in all {self.size} processes", received, mend)
        self._met, self._met_step = time.perf_counter(), trainer.step

    def share(self, trainer: Trainer, batch: Batch) -> Batch:
        """Return this process's part of a batch, and let what is random follow from seed, process and step.

        A batch of fewer rows than processes is everyone's, and counts in parts: no process ever has nothing to do.
        """
        for source in {trainer.device.type: default_generator(trainer.device), "cpu": torch.default_generator}.values():
            source.manual_seed(derive(trainer.seed, "step", self.rank, trainer.step))
        for player in trainer.players:
            player.generator.manual_seed(derive(player.seed, "step", self.rank, trainer.step))
            player.common.manual_seed(derive(player.seed, "common", trainer.step))
        rows = len(next(iter(batch.values())))
        if rows < self.size:
            self.weight, self.least = 1 / self.size, rows
            return batch
        self.weight, self.least = 1.0, rows // self.size
        low, high = rows * self.rank // self.size, rows * (self.rank + 1) // self.size
        return {name: tensor[low:high] for name, tensor in batch.items()}

    def agree(self, trainer: Trainer, reason: str | None, *, save: bool) -> tuple[bool, int]:
        """Settle on why training ends, if it does, and return whether to save and after which step to meet again.

        A signal in any process counts for all; what time it is and when to save, process 0 says.
        """
        own = {
            "request": trainer.signals.request,
            "reason": reason,
            "save": save,
            "next": self._next(trainer.step) if self.rank == 0 else 0,
        }
        told = self.gather(own)
        trainer.signals.request = _settled(other["request"] for other in told)
        trainer.finished = _settled(other["reason"] for other in told)
        return told[0]["save"], told[0]["next"]

    def _next(self, step: int) -> int:
        now = time.perf_counter()
        each = (now - self._met) / max(1, step - self._met_step)
        self._met, self._met_step = now, step
        return step + min(10_000, max(1, int(PAUSE_SECONDS / max(each, 1e-6))))


class GradientSum:
    """Sums gradients over all processes, and divides by the whole count.

    Parameters
    ----------
    met : World
        The processes.
    parameters : sequence of nn.Parameter
        What gradients are of, in the same order everywhere. One that no process's first step reaches has none later;
        one that this process's step does not reach counts as zero.
    like : Tensor, optional
        Where, and in what number format, loss and count are summed: as the first parameter.
    """

    def __init__(self, met: World, parameters: Sequence[nn.Parameter], like: Tensor | None = None) -> None:
        self.met, self.parameters = met, list(parameters)
        self._like = self.parameters[0] if like is None else like
        self._reached: list[nn.Parameter] | None = None

    @torch.no_grad()
    def __call__(self, loss: Loss) -> Loss:
        """Leave the mean gradient of the whole batch in ``.grad``; return the whole batch's sums."""
        moved = self._moved()
        like = self._like
        count = loss.count if isinstance(loss.count, Tensor) else torch.full((), loss.count, device=like.device)
        sums = torch.stack([part.to(like.device, like.dtype).reshape(()) for part in (loss.total.detach(), count)])
        gradients: list[Any] = [p.grad for p in moved]
        buckets = [[sums], *_buckets(gradients)]
        buckets = buckets if len(buckets) < 2 or gradients[0].dtype != sums.dtype else _with_first(buckets)
        flown = []
        with _others():
            for bucket in buckets:
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                if self.met.weight != 1:
                    flat.mul_(self.met.weight)
                flown.append((flat, dist.all_reduce(flat, async_op=True)))
            for _, work in flown:
                work.wait()
        total, whole = flown[0][0][:2].unbind()
        for bucket, (flat, _) in zip(buckets, flown, strict=True):
            pieces = flat.split([tensor.numel() for tensor in bucket])
            for tensor, piece in zip(bucket, pieces, strict=True):
                if tensor is not sums:
                    torch.div(piece.view_as(tensor), whole.to(tensor.dtype), out=tensor)
        return Loss(total.clone(), whole.clone(), {})

    def _moved(self) -> list[nn.Parameter]:
        """Return the parameters that some process's first step reached, each with a gradient."""
        if self._reached is None:
            own = [p.grad is not None for p in self.parameters]
            anywhere = [any(flags) for flags in zip(*self.met.gather(own), strict=True)]
            self._reached = [p for p, reached in zip(self.parameters, anywhere, strict=True) if reached]
        if sum(p.grad is not None for p in self.parameters) > sum(p.grad is not None for p in self._reached):
            raise SettingError(
                "a loss that reaches the same parameters at every step where several processes train",
                "one that reached another later",
                "start it without torchrun",
            )
        for parameter in self._reached:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return self._reached


def _buckets(gradients: Sequence[Any]) -> list[list[Tensor]]:
    """Return the gradients in pieces of one dtype and about `BUCKET` numbers."""
    buckets: list[list[Tensor]] = []
    room = 0
    for gradient in gradients:
        if not buckets or room < gradient.numel() or buckets[-1][0].dtype != gradient.dtype:
            buckets.append([])
            room = BUCKET
        buckets[-1].append(gradient)
        room -= gradient.numel()
    return buckets


def _with_first(buckets: list[list[Tensor]]) -> list[list[Tensor]]:
    """Let the first piece carry the sums of loss and count: one message less."""
    return [[*buckets[0], *buckets[1]], *buckets[2:]]


def _settled(reasons: Iterable[str | None]) -> str | None:
    """Return the first reason, but a SIGTERM before any other: there is little time left."""
    given = [reason for reason in reasons if reason is not None]
    return "terminated" if "terminated" in given else given[0] if given else None


def _backend() -> str:
    """Return NCCL for tensors on cuda where each process of a machine has a GPU of its own, else gloo for all."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    own = torch.cuda.is_available() and dist.is_nccl_available() and here <= torch.cuda.device_count()
    return "cpu:gloo,cuda:nccl" if own else "gloo"


def checksum(network: nn.Module) -> str:
    """Return a short digest of a network's weights and buffers."""
    hasher = hashlib.sha256()
    for name, value in network.state_dict().items():
        hasher.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        hasher.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()[:16]


@contextmanager
def _others() -> Iterator[None]:
    """Say in a sentence that another process is gone, or does not come."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise gone(error) from error


def gone(error: Exception) -> PeerError:
    """Return the sentence for what torch says where another process is gone, or does not come."""
    words = _PLACE.sub("", str(error).strip()).split(". ")[0].splitlines()
    return PeerError(
        "every process of this training at work",
        f"one that is gone ({words[0][:120] if words else type(error).__name__})",
        "look for the first error above, then start all of them again, or `gradus resume` the run",
    )


def _part() -> None:
    """Close the connections, so that the others notice, and end the threads that serve them.

    They end with the last reference to their group. One of them that lived on when the interpreter ends could still
    have a tensor to give back, would ask for the interpreter's lock then, and abort the process.
    """
    met = _state["world"]
    with suppress(Exception):
        if dist.is_initialized():
            dist.destroy_process_group()
    if met is not None:
        met._control = None
