import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradus.data.batches import TensorBatches
from gradus.training.losses import Loss
from gradus.training.monitor import Monitor
from gradus.training.options import TrainingOptions
from training.small import Flat, assert_same, classifier, measured, rows, state, trainer


def scripted(values, key="loss"):
    """Return an evaluation that gives the next of ``values``."""
    rest = iter(values)
    return lambda network: {"loss": 0.0, "score": 0.0, key: next(rest)}


def run(values, key="loss", callbacks=(), **rest):
    settings = {"patience": 2, "monitor": key, "max_epochs": len(values), "learning_rate": 0.05, **rest}
    trained = trainer(data=rows(8), evaluate=scripted(values, key), watch=True, callbacks=list(callbacks), **settings)
    trained.run()
    return trained


@pytest.mark.parametrize(
    ("values", "settings", "epochs", "best"),
    [
        ([3.0, 2.0, 1.0, 1.5, 1.4, 0.1], {}, 5, 2),  # two epochs without gain, whatever came between
        ([3.0, 2.0, 2.0, 1.0, 2.0, 2.0, 0.1], {}, 6, 3),  # a gain starts the count anew; equal is no gain
        ([1.0, 2.0, 0.5], {"patience": 1}, 2, 0),
        ([3.0, 2.0, 1.0], {}, 3, 2),
        ([1.0, 0.95, 0.91, 0.1], {"min_improvement": 0.1}, 3, 0),  # each gain is too small
        ([1.0, 0.95, 0.89, 0.85, 0.84], {"min_improvement": 0.1}, 5, 2),  # gains add up against the best
        ([math.nan, 1.0, math.nan, math.nan, 0.1], {}, 4, 1),
        ([math.inf, 1.0, 2.0, 3.0], {}, 4, 1),
        ([0.2, 0.3, 0.2, 0.3, 0.9], {"monitor": "score"}, 4, 1),
    ],
)
def test_patience_is_counted_in_epochs_without_gain(values, settings, epochs, best):
    trained = run(values, settings.get("monitor", "loss"), **settings)
    assert (len(trained.history), trained.monitor.best_epoch) == (epochs, best)
    assert trained.finished == ("early_stopping" if epochs < len(values) or values[-1] in (0.84, 3.0) else "max_epochs")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    values=st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=12), patience=st.integers(1, 4)
)
def test_the_best_epoch_is_the_first_of_the_lowest_before_patience_ended(values, patience):
    monitor = Monitor(TrainingOptions(patience=patience))
    network, stopped = Flat(0.0), None
    for epoch, value in enumerate(values):
        network.point.data.fill_(epoch)
        if monitor.step({"epoch": epoch, "valid_loss": value}, network):
            stopped = epoch
            break
    seen = values if stopped is None else values[: stopped + 1]
    assert monitor.best_epoch == int(np.argmin(seen))
    assert monitor.weights["point"].item() == monitor.best_epoch
    if stopped is not None:
        assert stopped - monitor.best_epoch == patience


@pytest.mark.parametrize("average", [0.0, 0.7])
def test_the_weights_of_the_best_epoch_come_back_bit_for_bit_buffers_included(average):
    kept = {}

    def keep(trained, event):
        if event == "epoch":
            kept[trained.epoch - 1] = {k: v.detach().clone() for k, v in trained.network.state_dict().items()}
            if trained.average is not None:
                names = [name for name, _ in trained.network.named_parameters()]
                kept[trained.epoch - 1] |= {n: v.clone() for n, v in zip(names, trained.average.values, strict=True)}

    network = classifier(normalization="batch")
    trained = run([3.0, 2.0, 1.0, 2.0, 2.0], callbacks=[keep], network=network, average_decay=average)
    assert trained.finished == "early_stopping" and trained.monitor.best_epoch == 2
    for name, value in network.state_dict().items():
        assert torch.equal(value, kept[2][name]), name
    assert any(not torch.equal(kept[2][name], kept[4][name]) for name in kept[2])


def test_where_every_validation_fails_the_last_weights_stay():
    last = []
    trained = run(
        [math.nan] * 2, patience=5, callbacks=[lambda t, e: last.append(next(t.network.parameters()).clone())]
    )
    assert trained.monitor.best_epoch == -1
    assert torch.equal(next(trained.network.parameters()), last[-1])


def test_without_watching_training_goes_on_and_keeps_the_last_weights():
    trained = trainer(data=rows(8), evaluate=scripted([1.0, 2.0, 3.0, 4.0]), max_epochs=4, patience=1)
    assert trained.run() == "max_epochs" and trained.monitor is None
    assert [row["valid_loss"] for row in trained.history] == [1.0, 2.0, 3.0, 4.0]


def test_early_stopping_finds_the_minimum_of_a_known_validation_curve():
    """Gradient descent on ``(w - 3)² / 2`` with rate r is at ``3 (1 - (1 - r)^t)``; validation wants 1.5."""

    def loss(network, batch, source):
        return Loss(((network.point - 3.0) ** 2 / 2).sum(), 1.0, {})

    network, rate = Flat(0.0), 0.1
    trained = trainer(
        network=network,
        data={"inputs": torch.zeros(1, 1)},
        loss=loss,
        evaluate=lambda n: {"loss": (n.point.item() - 1.5) ** 2, "score": 0.0},
        watch=True,
        optimizer="sgd",
        learning_rate=rate,
        patience=3,
        max_epochs=100,
    )
    assert trained.run() == "early_stopping"
    path = [3 * (1 - (1 - rate) ** t) for t in range(1, 100)]
    best = int(np.argmin([(w - 1.5) ** 2 for w in path]))
    assert trained.monitor.best_epoch == best and trained.epoch == best + 4
    assert network.point.item() == pytest.approx(path[best], rel=1e-5)


def test_a_monitor_comes_back_from_its_state():
    monitor, again = Monitor(TrainingOptions(patience=3)), Monitor(TrainingOptions(patience=3))
    network = Flat(1.0, 2.0)
    for epoch, value in enumerate([1.0, 2.0, 3.0]):
        monitor.step({"epoch": epoch, "valid_loss": value}, network)
    again.load_state_dict(monitor.state_dict())
    row = {"epoch": 3, "valid_loss": 1.5}
    assert monitor.step(row, network) and again.step(row, network)
    assert again.best_epoch == 0


def test_evaluation_follows_training_only_by_its_result():
    data = rows(20, 1)
    seen, unseen = (trainer(evaluate=measured(data), watch=watch, patience=50) for watch in (True, False))
    plain = trainer()
    for trained in (seen, unseen, plain):
        trained.run()
    plain.history = [{k: v for k, v in row.items() if not k.startswith("valid")} for row in plain.history]
    for trained in (seen, unseen):
        trained.history = [{k: v for k, v in row.items() if not k.startswith("valid")} for row in trained.history]
    assert_same(state(unseen), state(plain))
    assert isinstance(seen.batches, TensorBatches)
