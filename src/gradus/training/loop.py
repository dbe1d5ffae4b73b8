"""The loop: players, batches, a budget, callbacks. It does not know what is learned.

Nothing is fetched from the device until an epoch ends: losses are kept as tensors, stacked once, and the
finite check reads the same stack. Everything that decides the next step lies in integers, tensors and random
states, so a checkpoint taken after any step continues to the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gradus.core.errors import InputError, NonFiniteError
from gradus.core.randomness import derive, isolated
from gradus.core.threads import threads
from gradus.data.batches import Batch, Batches
from gradus.training.checkpoints import CheckpointStore
from gradus.training.distribution import parting, world
from gradus.training.interrupts import Signals, interruptible
from gradus.training.monitor import Monitor
from gradus.training.options import TrainingOptions
from gradus.training.player import Player, fetched
from gradus.training.regularizers import Average
from gradus.training.resume import load_trainer, random_states, restore_random_states, save_trainer
from gradus.training.schedules import factor, plateau_init, plateau_step
from gradus.training.sharding import Sharding, sharded
from gradus.training.synchronization import synchronized

__all__ = ["Callback", "Event", "Trainer"]

Event = Literal["start", "tick", "epoch", "stop"]
Evaluate = Callable[[nn.Module], Mapping[str, float]]
TICK_SECONDS, CHECKPOINT_SECONDS = 0.2, 30.0


@runtime_checkable
class Callback(Protocol):
    """Told when training starts, a fifth of a second passes, an epoch ends, and training stops."""

    def __call__(self, trainer: Trainer, event: Event) -> None:
        """Look at the trainer; set ``trainer.finished`` to a reason to end training."""
        ...


class Trainer:
    """Train a network by one or several players.

    Parameters
    ----------
    network : nn.Module
        Holds every parameter and buffer that a checkpoint must keep.
    players : sequence of Player
        Act in this order on every batch.
    batches : Batches
        Training data.
    options : TrainingOptions
        Budget, schedule, averaging, early stopping, checkpoints.
    evaluate : callable, optional
        ``network -> {"loss": ..., "score": ...}`` on validation data; its values appear in the history as
        ``valid_*`` and drive early stopping.
    seed : int
        Seeds dropout and whatever else draws from torch's global generators, which are restored after.
    n_threads : int
        Processor threads to compute with.
    callbacks : sequence of Callback
        Told of progress.
    watch : bool
        Follow validation: stop early and keep the best weights.
    until : callable, optional
        Extra end condition, given each epoch's row of the history.
    tag : str
        Digest of data and settings; a checkpoint with another tag is refused.

    Attributes
    ----------
    history : list of dict
        One row an epoch.
    finished : str or None
        Why training ended: ``max_epochs``, ``max_steps``, ``max_time``, ``early_stopping``, ``target``,
        ``interrupted``, ``terminated``, or what a callback set.
    lost : bool
        Whether the network's parameters are gone: they were divided over processes, of which one ended in an error.
    """

    def __init__(
        self,
        network: nn.Module,
        players: Sequence[Player],
        batches: Batches,
        options: TrainingOptions,
        *,
        evaluate: Evaluate | None = None,
        seed: int = 0,
        n_threads: int = 1,
        callbacks: Sequence[Callback] = (),
        watch: bool = False,
        until: Callable[[dict[str, Any]], bool] | None = None,
        tag: str = "",
        store: CheckpointStore | None = None,
    ) -> None:
        self.network, self.players, self.batches, self.options = network, list(players), batches, options
        self.evaluate, self.seed, self.n_threads, self.callbacks = evaluate, seed, n_threads, list(callbacks)
        self.until, self.tag, self.store = until, tag, store
        self.device = self.players[0].device
        self.world = world()  # the processes that share each batch; None where this one is alone
        self.sharding: Sharding | None = None  # while each of them has a part of the network
        self.lost = self.was_sharded = False
        self.epoch = self.step = self.offset = 0
        self.elapsed = 0.0
        self.history: list[dict[str, Any]] = []
        self.finished: str | None = None
        self.resumed_from: int | None = None
        self.plateau = plateau_init()
        self.monitor = Monitor(options) if watch and evaluate is not None else None
        parameters = [p for p in network.parameters() if p.requires_grad]
        self.average = Average(parameters, options.average_decay) if options.average_decay else None
        self.signals = Signals()
        self._parameters = parameters
        self._good: list[Tensor] = []  # parameters and buffers when last found finite
        self._good_step = 0
        self._told: list[Callback] = []
        self._meeting = math.inf  # the step after which several processes settle on what to do
        self._since = self._last_save = time.perf_counter()
        self.random_states: dict[str, Any] = {}
        if len(batches) == 0:
            raise InputError("at least one batch an epoch", "none", "lower batch_size or keep the last batch")

    def run(self) -> str:
        """Train to the end of the budget, from the newest checkpoint if there is one; return why it ended.

        Raises
        ------
        NonFiniteError
            If a loss or weight becomes NaN or infinite; the network then holds the last good weights.
        KeyboardInterrupt
            At the second Ctrl-C; the first ends training after the step, with the best weights so far.
        PeerError
            If another process of the same training is gone.
        SystemExit
            With code 143, after a checkpoint, if SIGTERM came while checkpoints are kept.
        """
        with parting(self.world), sharded(self):
            if self.store is not None:
                load_trainer(self, self.store)
            with (
                isolated(derive(self.seed, "global"), self.device),
                threads(self.n_threads),
                synchronized(self.network, self.world),
                torch.enable_grad(),
                interruptible(terminate=self.store is not None, shared=self.world is not None) as self.signals,
            ):
                try:
                    self._begin()
                    while self.finished is None:
                        for batch in self.batches.epoch(self.epoch, self.offset):
                            self._update(batch)
                            if self._due() and self._pause():
                                break
                        self._end_epoch()
                    return self._end()
                finally:
                    self._tell("stop")

    def _update(self, batch: Batch) -> None:
        scale = factor(self.options, self.step, self.total_steps, len(self.batches)) * self.plateau.factor
        if self.world is not None:
            batch = self.world.share(self, batch)
        for player in self.players:
            if player.every == 1 or self.step % player.every == 0:
                player.update(batch, self.step, scale)
        if self.average is not None:
            self.average.update()
        self.step += 1
        self.offset += 1

    def _due(self) -> bool:
        """Whether anything but the next step is to be done; called every step, so it only compares."""
        if self.world is not None:  # clocks and signals differ, steps do not
            return self.step >= self._stop
        late = time.perf_counter() >= self._alarm
        return late or self.step >= self._stop or self.signals.request is not None

    def _pause(self) -> bool:
        """Do what is due between two steps; return True to end the epoch here."""
        now = time.perf_counter()
        self._alarm = now + TICK_SECONDS
        self._tell("tick")
        save = self._settle(self.signals.request or self.finished or self._spent(), self._checkpoint_due(now))
        if self.finished is not None or save:
            self._save()
        self._plan()
        return self.finished is not None

    def _settle(self, reason: str | None, save: bool = False) -> bool:
        """End for ``reason``, if there is one, and return whether to save: of several processes, as all agree."""
        self.finished = reason
        if self.world is not None:
            save, self._meeting = self.world.agree(self, reason, save=save)
            self._plan()
        return save

    def _spent(self) -> str | None:
        """Return the name of the budget that is used up, if one is."""
        options = self.options
        if options.max_steps is not None and self.step >= options.max_steps:
            return "max_steps"
        if options.max_time is not None and self._writes and self.seconds >= options.max_time:
            return "max_time"
        return "max_epochs" if self.epoch >= options.max_epochs else None

    def _end_epoch(self) -> None:
        if self.finished == "terminated":
            return  # every second counts now, and the checkpoint has the exact position
        row = self._close_totals()
        if self.evaluate is not None and (self._writes or self.sharding is not None):
            self.network.eval()
            row.update({f"valid_{name}": float(value) for name, value in self._evaluate().items()})
            self.network.train()
        row["seconds"] = self.seconds
        if self.world is not None:
            row = self.world.first(row)
        self.history.append(row)
        if self.finished is None or self.offset == len(self.batches):
            self.epoch, self.offset = self.epoch + 1, 0
        if self.monitor is not None:
            self._watch(row)
        if self.options.schedule == "plateau":
            loss = row.get("valid_loss", row.get(self._loss_key(self.players[0])))
            if loss is not None:  # a player that did not move in this epoch has none
                self.plateau = plateau_step(self.plateau, loss, self.options)
        if self.finished is None and self.until is not None and self.until(row):
            self.finished = "target"
        self._tell("epoch")
        self._settle(self.finished or self.signals.request or self._spent())

    def _close_totals(self) -> dict[str, Any]:
        """Fetch the epoch's sums once, check them, and start the next epoch's."""
        self.check_finite()
        row: dict[str, Any] = {"epoch": self.epoch, "step": self.step}
        for player in self.players:
            if player.totals:
                total = float(torch.stack(player.totals).double().sum())
                row[self._loss_key(player)] = total / math.fsum(fetched(player.counts))
            player.totals, player.counts, player.steps = [], [], []
        row["learning_rate"] = self.options.learning_rate * self.players[0]._factor
        return row

    def check_finite(self) -> None:
        """Raise `NonFiniteError`, the last good weights put back, if a loss or weight is NaN or infinite."""
        first: tuple[int, str] | None = None
        for player in self.players:
            finite = torch.isfinite(torch.stack(player.totals)) if player.totals else torch.ones(0)
            if not bool(finite.all()):
                step = player.steps[int((~finite).nonzero()[0])]
                name = "" if len(self.players) == 1 else f" of player {player.name}"
                first = (step, f"loss{name}") if first is None or step < first[0] else first
        norms = torch.stack(torch._foreach_norm([p.detach() for p in self._parameters]))
        sound = bool(torch.isfinite(norms).all())
        if self.sharding is not None:
            sound = self.sharding.all_true(sound)
        if first is None and not sound:
            first = self.step - 1, "weight after the update"
        if first is not None:
            self._fail(*first)
        torch._foreach_copy_(self._good, self._values())
        self._good_step = self.step

    def _values(self) -> list[Tensor]:
        """Return what training changes in the network: parameters, and buffers such as running means."""
        return [*(p.detach() for p in self._parameters), *self.network.buffers()]

    def _fail(self, step: int, what: str) -> None:
        torch._foreach_copy_(self._values(), self._good)
        raise NonFiniteError(
            f"a finite {what}",
            f"NaN or infinity at step {step} (epoch {self.epoch})",
            f"lower learning_rate (now {self.options.learning_rate:g}), set gradient_clip=1.0 or look for "
            f"extreme inputs; the weights of step {self._good_step} are kept",
        )

    def _evaluate(self) -> Mapping[str, float]:
        if self.evaluate is None:
            return {}
        evaluate = self.evaluate if self.sharding is None else self.sharding.evaluation(self.evaluate)
        if self.average is None:
            return evaluate(self.network)
        with self.average.applied():
            return evaluate(self.network)

    def _watch(self, row: dict[str, Any]) -> None:
        if self.monitor is None:
            return
        if self.average is None:
            stop = self.monitor.step(row, self.network)
        else:
            with self.average.applied():
                stop = self.monitor.step(row, self.network)
        if stop and self.finished is None:
            self.finished = "early_stopping"

    # -- beginning and end -----------------------------------------------------------------------------------

    @property
    def _writes(self) -> bool:
        """Whether this process decides and writes: the first of several, or alone."""
        return self.world is None or self.world.rank == 0

    @property
    def total_steps(self) -> int:
        """Updates planned by the budget of epochs and steps."""
        planned = self.options.max_epochs * len(self.batches)
        return planned if self.options.max_steps is None else min(planned, self.options.max_steps)

    @property
    def seconds(self) -> float:
        """Time spent training, in seconds, over all processes that took part."""
        return self.elapsed + time.perf_counter() - self._since

    def _begin(self) -> None:
        self._since = self._last_save = time.perf_counter()
        self._alarm = self._since + TICK_SECONDS
        self.network.train()
        for player in self.players:
            player.begin()
        if self.random_states:
            restore_random_states(self.device, self.random_states)
        self._good, self._good_step = [value.clone() for value in self._values()], self.step
        self._plan()
        if self.world is not None:
            self.world.begin(self)
        self._tell("start")
        if self.finished is None:
            self._settle(self._spent())
            if self.finished is not None and self.offset:
                self._end_epoch()  # the checkpoint was taken before the cut epoch was closed

    def _plan(self) -> None:
        """Find the next step at which something is due, so that the steps before it need only compare."""
        stops = [self._meeting]
        if self.options.max_steps is not None:
            stops.append(self.options.max_steps)
        if self.store is not None and self.options.checkpoint_every is not None:
            stops.append((self.step // self.options.checkpoint_every + 1) * self.options.checkpoint_every)
        self._stop = min(stops)
        if self.options.max_time is not None:
            self._alarm = min(self._alarm, self._since + self.options.max_time - self.elapsed)

    def _checkpoint_due(self, now: float) -> bool:
        every = self.options.checkpoint_every
        return now - self._last_save >= CHECKPOINT_SECONDS if every is None else self.step % every == 0

    def _save(self) -> None:
        """Check and store the exact position; a state with a NaN in it never becomes a checkpoint."""
        if self.store is None:
            return
        self.check_finite()
        if self._writes or self.sharding is not None:
            save_trainer(self, self.store)
        self._last_save = time.perf_counter()

    def _end(self) -> str:
        if self.offset == 0 and self.resumed_from != self.step:  # ended with an epoch, not inside one
            self._save()
        if self.monitor is not None and self.monitor.weights is not None:
            self.monitor.restore(self.network)
        elif self.average is not None:
            self.average.swap()
        return str(self.finished)

    def _tell(self, event: Event) -> None:
        """Tell the callbacks; what they draw and ask of the network does not change the training."""
        if event == "stop":
            self.elapsed, self._since = self.seconds, time.perf_counter()
            self.network.eval()
        if not self.callbacks:
            return
        states = random_states(self.device)
        for callback in self.callbacks if event == "start" else self._told:
            callback(self, event)
            if event == "start":
                self._told.append(callback)
        if event != "stop":
            self.network.train()
        restore_random_states(self.device, states)

    def _loss_key(self, player: Player) -> str:
        return "loss" if len(self.players) == 1 else f"{player.name}_loss"
