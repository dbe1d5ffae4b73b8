"""What a checkpoint of training holds, and how a new process takes it up to the same bits."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from gradus.core.errors import SettingError
from gradus.core.randomness import default_generator
from gradus.training.checkpoints import CheckpointStore
from gradus.training.schedules import Plateau

if TYPE_CHECKING:
    from gradus.training.loop import Trainer

__all__ = ["load_trainer", "random_states", "restore_random_states", "save_trainer"]

# Reasons that only a larger budget or a new command can lift are found again by the resumed process itself.
FINAL = {"early_stopping", "target"}


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the states of torch's global generators on the processor and ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states[device.type] = default_generator(device).get_state()
    return states


def restore_random_states(device: torch.device, states: dict[str, Any]) -> None:
    """Put states of `random_states` back; a device other than the saved one keeps its own."""
    torch.set_rng_state(states["cpu"].cpu())
    if device.type in states and device.type != "cpu":
        default_generator(device).set_state(states[device.type].cpu())


def save_trainer(trainer: Trainer, store: CheckpointStore) -> None:
    """Write one checkpoint: weights, and everything else that decides the next step.

    Where several processes have a share of the weights each, all of them call this, and the first writes.
    """
    average, monitor, sharding = trainer.average, trainer.monitor, trainer.sharding
    model = dict(trainer.network.state_dict())
    averages = None if average is None else average.values
    memory = None if monitor is None else monitor.state_dict()
    if sharding is not None:
        model = sharding.whole_state(model)
        averages = None if averages is None else sharding.whole_values(averages)
        if memory is not None and memory["weights"] is not None:
            memory["weights"] = sharding.whole_state(memory["weights"])
    state = {
        "tag": trainer.tag,
        "batches": _identity(trainer),
        "seed": trainer.seed,
        "n_threads": trainer.n_threads,
        "position": [trainer.epoch, trainer.offset, trainer.step],
        "elapsed": trainer.seconds,
        "finished": trainer.finished if trainer.finished in FINAL else None,
        "players": {player.name: player.state_dict() for player in trainer.players},
        "plateau": list(trainer.plateau),
        "average": None if average is None else {"updates": average.updates, "values": averages},
        "monitor": memory,
        "history": trainer.history,
        "random": random_states(trainer.device),
    }
    score = None if monitor is None or not trainer.history else monitor.sign * trainer.history[-1][monitor.key]
    if trainer.world is None or trainer.world.rank == 0:
        store.save(trainer.step, {"model": model, "state": state}, score=score)


def load_trainer(trainer: Trainer, store: CheckpointStore) -> None:
    """Take up the newest sound checkpoint of ``store``, if there is any.

    Raises
    ------
    SettingError
        If the checkpoint belongs to other data or settings.
    DamagedFileError
        If there are checkpoints and none of them is sound.
    """
    if not store.steps():
        return
    loaded = store.load()
    for name in loaded.skipped:
        warnings.warn(f"expected {name}; went back to the checkpoint of step {loaded.step}", stacklevel=3)
    try:
        state = loaded.parts["state"]
        if state["tag"] != trainer.tag or state["batches"] != _identity(trainer):
            raise ValueError("another run's")
        _take_up(trainer, loaded.parts["model"], state)
    except (
        AttributeError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:  # torch's, for other shapes
        raise SettingError(
            "a checkpoint of the same data and settings",
            f"one of others in {store.folder}",
            "name an empty folder, or repeat the settings the checkpoint was made with",
        ) from error
    trainer.resumed_from = loaded.step


def _identity(trainer: Trainer) -> dict[str, Any]:
    """Return what tells one order of batches from another."""
    return {"steps": len(trainer.batches), "seed": getattr(trainer.batches, "seed", None)}


def _take_up(trainer: Trainer, model: dict[str, Any], state: dict[str, Any]) -> None:
    sharding = trainer.sharding
    trainer.network.load_state_dict(model if sharding is None else sharding.own_state(trainer.network, model))
    trainer.seed, trainer.n_threads = state["seed"], state["n_threads"]
    trainer.epoch, trainer.offset, trainer.step = state["position"]
    trainer.elapsed, trainer.finished = state["elapsed"], state["finished"]
    trainer.plateau, trainer.history = Plateau(*state["plateau"]), state["history"]
    for player in trainer.players:
        player.load_state_dict(state["players"][player.name])
    chosen = trainer.players[0].options
    trainer.options = replace(trainer.options, precision=chosen.precision, compile=chosen.compile)
    if trainer.average is not None:
        trainer.average.updates = state["average"]["updates"]
        load = torch._foreach_copy_ if sharding is None else sharding.load_values
        load(trainer.average.values, state["average"]["values"])
    if trainer.monitor is not None:
        memory = state["monitor"]
        if sharding is not None and memory["weights"] is not None:
            memory = {**memory, "weights": sharding.own_state(trainer.network, memory["weights"])}
        trainer.monitor.load_state_dict(memory)
    trainer.random_states = state["random"]
