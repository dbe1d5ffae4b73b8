"""How a network is trained, as flat fields that every gradient-trained estimator inherits.

Not frozen, against the house's rule for settings: scikit-learn's ``set_params`` and ``clone`` assign to the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gradus.core.options import option

__all__ = ["OptimizerName", "ScheduleName", "TrainingOptions"]

OptimizerName = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "muon", "lbfgs"]
ScheduleName = Literal["constant", "step", "cosine", "one_cycle", "plateau"]


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingOptions:
    """Settings of the training loop (chapters 7 and 8), inherited by every estimator that is trained by gradients."""

    max_epochs: int = option(100, "most passes over the training data", unit="epochs", low=0)
    max_steps: int | None = option(None, "most parameter updates", unit="steps", low=1)
    max_time: float | None = option(None, "most time to train", unit="seconds", above=0)
    batch_size: int = option(64, "examples a parameter update", unit="examples", low=1)
    accumulate: int = option(1, "parts a batch is cut into to save memory; the gradient is the same", low=1)
    optimizer: OptimizerName = option("adam", "rule that turns gradients into updates")
    learning_rate: float = option(1e-3, "step size at the top of the schedule", above=0)
    momentum: float = option(0.9, "momentum of the optimizers momentum, nesterov and muon", low=0, high=1)
    weight_decay: float = option(
        0.0, "weight decay of weight matrices, as the torch optimizer defines it (decoupled in adamw and muon)", low=0
    )
    schedule: ScheduleName = option("constant", "how the learning rate changes")
    warmup_steps: int = option(0, "updates over which the learning rate rises linearly", unit="steps", low=0)
    schedule_epochs: int = option(30, "epochs between cuts (step), or without gain before one (plateau)", low=1)
    schedule_factor: float = option(0.1, "factor of a cut of the learning rate (step, plateau)", above=0, high=1)
    gradient_clip: float | None = option(None, "largest norm of the whole gradient", above=0)
    l1: float = option(0.0, "penalty on the sum of absolute weights", low=0)
    l2: float = option(0.0, "penalty on half the sum of squared weights", low=0)
    max_norm: float | None = option(None, "largest norm of the weights into one unit", above=0)
    weight_noise: float = option(0.0, "standard deviation of noise on the weights in training", low=0)
    average_decay: float = option(
        0.0, "Polyak averaging: weight of the past in the averaged weights; 0 is off", low=0, high=1
    )
    early_stopping: bool | Literal["auto"] = option(
        "auto", "stop when validation stops improving; auto: where validation data are given"
    )
    patience: int = option(10, "epochs without improvement before stopping", unit="epochs", low=1)
    min_improvement: float = option(0.0, "gain in the monitored value that counts as improvement", low=0)
    monitor: Literal["loss", "score"] = option("loss", "validation value that early stopping and best weights follow")
    validation_fraction: float = option(
        0.1, "share of the data held out where early_stopping needs it", above=0, high=0.9
    )
    retrain: Literal["none", "epochs", "continue"] = option(
        "none",
        "after early stopping, learn from the validation data too: anew for as many epochs, or going on",
    )
    precision: Literal["float32", "bf16", "auto"] = option(
        "float32", "number format of matrix products; auto: the one a timed probe finds faster"
    )
    compile: Literal["off", "on", "auto"] = option(
        "off", "compile the network's training step (torch.compile); auto: on cuda, where a timed probe says it pays"
    )
    cuda_graphs: bool = option(
        True, "on cuda, record the training step once and replay it, where shapes are fixed and nothing forbids it"
    )
    shard: Literal["off", "on", "auto"] = option(
        "auto",
        "where several processes train, divide weights, gradients and optimizer memory among them; auto: where they "
        "would take more than half of a process's memory",
    )
    device: str = option("auto", "cpu, cuda, cuda:N, mps; auto: the fastest present")
    n_threads: int | Literal["auto"] = option(
        "auto", "processor threads; auto: the number a timed probe finds faster", low=1
    )
    # anything `resolve_seed` takes; from text, a whole number or none
    random_state: int | Any | None = option(None, "seed of everything random; none draws one and stores it as seed_")
    checkpoint: str | None = option(
        None, "folder of checkpoints; a fit that finds one there goes on from it, bit for bit"
    )
    checkpoint_every: int | None = option(
        None, "updates between checkpoints; none: every 30 seconds", unit="steps", low=1
    )
    verbose: bool = option(False, "show a progress bar where the output is a terminal")
