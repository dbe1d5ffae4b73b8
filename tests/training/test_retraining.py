"""The strategies of §7.8 that use the validation data too, through an estimator, and resume at that height."""

import signal

import numpy as np
import pytest
import torch

from gradus.core.errors import SettingError
from gradus.core.randomness import derive, isolated
from gradus.data.batches import TensorBatches
from gradus.estimators import gradient
from gradus.estimators.mlp import MLPClassifier
from gradus.training.observers import observed_by
from training.small import Crash

pytestmark = pytest.mark.usefixtures("no_sync")
SOURCE = np.random.default_rng(0)
X = SOURCE.normal(size=(90, 5))
W = SOURCE.normal(size=5)
Y = ((X @ W + SOURCE.normal(size=90)) > 0).astype(int)  # noisy: it overfits
TRAIN, VALID = slice(0, 60), slice(60, 90)


def model(**settings):
    base = {"hidden": (16,), "learning_rate": 0.03, "batch_size": 16, "max_epochs": 40, "patience": 4}
    return MLPClassifier(**{**base, "dropout": 0.2, "random_state": 3, "n_threads": 1, **settings})


def fit(estimator, **weights):
    return estimator.fit(X[TRAIN], Y[TRAIN], X_val=X[VALID], y_val=Y[VALID], **weights)


def parameters(estimator):
    return {name: value.clone() for name, value in estimator.network_.state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.fixture
def trainers(monkeypatch):
    """The trainers that estimators make, in order, with the weights each began with."""
    made = []

    class Recorded(gradient.Trainer):
        def run(self):
            self.began = {name: value.clone() for name, value in self.network.state_dict().items()}
            made.append(self)
            return super().run()

    monkeypatch.setattr(gradient, "Trainer", Recorded)
    return made


def test_epochs_starts_anew_on_all_data_for_as_many_passes_as_were_best(trainers):
    """Algorithm 7.2."""
    fitted = fit(model(retrain="epochs"))
    first, second = trainers
    assert first.finished == "early_stopping" and first.monitor.best_epoch < len(first.history) - 1
    assert second.options.max_epochs == first.monitor.best_epoch + 1 == len(second.history) == fitted.n_epochs_
    assert isinstance(second.batches, TensorBatches) and second.batches.n_examples == 90
    rows = torch.cat([batch["inputs"] for batch in second.batches.epoch(0)]).numpy()
    prepared = fitted.network_.prepare(torch.from_numpy(X.astype(np.float32))).numpy()
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(prepared, axis=0))
    assert_equal(second.began, first.began)  # "set θ to random values again": those of the seed
    with isolated(derive(3, "weights")):
        assert_equal(second.began, {k: v.clone() for k, v in fitted._build().state_dict().items()})
    assert fitted.stopped_by_ == "max_epochs" and second.evaluate is None


def test_continue_goes_on_on_all_data_until_validation_fits_as_training_did(trainers):
    """Algorithm 7.3."""
    fitted = fit(model(retrain="continue", max_epochs=150))
    first, second = trainers
    best = first.monitor.weights
    assert_equal(second.began, dict(best))  # goes on from the weights that stopping early found
    assert second.batches.n_examples == 90
    judge = fit(model(max_epochs=150))  # without retraining: the network that the second phase began with
    assert_equal(parameters(judge), dict(best))
    logits = judge._forward(X[TRAIN])
    goal = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.squeeze(), torch.from_numpy(Y[TRAIN]).float()
    ).item()
    losses = [row["valid_loss"] for row in second.history]
    assert fitted.stopped_by_ == "target"
    assert losses[-1] <= goal + 1e-6 and all(loss > goal for loss in losses[:-1])
    assert first.history[first.monitor.best_epoch]["valid_loss"] > goal


def test_continue_does_nothing_where_validation_already_fits(trainers):
    easy = model(retrain="continue", max_epochs=6)
    easy.fit(X[TRAIN], Y[TRAIN], X_val=[3 * W, -3 * W], y_val=[1, 0])  # far from the border
    first = trainers[0]
    valid = first.history[first.monitor.best_epoch]["valid_loss"]
    network = easy._forward(X[TRAIN])
    mean = torch.nn.functional.binary_cross_entropy_with_logits(network.squeeze(), torch.from_numpy(Y[TRAIN]).float())
    assert valid < mean.item() and len(trainers) == 1


def test_rows_without_weights_count_once_where_others_have_weights(trainers):
    weights = SOURCE.uniform(0.5, 2, 60)
    fit(model(retrain="epochs"), sample_weight=weights)
    found = torch.cat([batch["weights"] for batch in trainers[1].batches.epoch(0)]).numpy()
    np.testing.assert_allclose(np.sort(found), np.sort([*weights, *np.ones(30)]), rtol=1e-6)


def interrupt_at(phase_rows, epoch):
    def callback(trained, event):
        if event == "epoch" and trained.batches.n_examples == phase_rows and trained.epoch == epoch:
            signal.raise_signal(signal.SIGINT)

    return callback


@pytest.mark.parametrize("strategy", ["epochs", "continue"])
def test_ctrl_c_in_the_first_training_leaves_out_the_second(strategy, trainers):
    with observed_by(interrupt_at(60, 3)):
        fitted = fit(model(retrain=strategy))
    assert len(trainers) == 1 and fitted.stopped_by_ == "interrupted"
    assert_equal(parameters(fitted), dict(trainers[0].monitor.weights))


def test_ctrl_c_while_training_anew_answers_with_the_best_so_far(trainers):
    with observed_by(interrupt_at(90, 2)):
        fitted = fit(model(retrain="epochs"))
    assert len(trainers) == 2 and trainers[1].finished == fitted.stopped_by_ == "interrupted"
    assert_equal(parameters(fitted), dict(trainers[0].monitor.weights))
    assert fitted.best_epoch_ == trainers[0].monitor.best_epoch


def test_a_budget_holds_for_both_trainings_together(trainers):
    whole = fit(model(retrain="epochs"))
    used = trainers[0].step
    del trainers[:]
    cut = fit(model(retrain="epochs", max_steps=used + 3))
    first, second = trainers
    assert (first.finished, second.finished, second.step) == ("early_stopping", "max_steps", 3)
    assert cut.stopped_by_ == "max_steps"
    assert_equal(parameters(cut), dict(first.monitor.weights))
    del trainers[:]
    fit(model(retrain="epochs", max_steps=used - 1))
    assert len(trainers) == 1
    assert whole.stopped_by_ == "max_epochs"


def crash_in(phase_rows, step):
    def callback(trained, event):
        if event == "tick" and trained.batches.n_examples == phase_rows and trained.step == step:
            raise Crash

    return callback


@pytest.mark.parametrize("strategy", ["none", "epochs", "continue"])
def test_a_fit_that_dies_in_either_training_ends_in_the_same_bits(strategy, tmp_path):
    settings = {"retrain": strategy, "average_decay": 0.9, "schedule": "plateau", "schedule_epochs": 1}
    whole = fit(model(**settings))
    settings |= {"checkpoint": str(tmp_path), "checkpoint_every": 3}
    crashes = [(60, 7), (60, 18)] + ([] if strategy == "none" else [(90, 1 + 3), (90, 3 + 4)])
    for phase_rows, step in crashes:
        with pytest.raises(Crash), observed_by(crash_in(phase_rows, step // 3 * 3)):
            fit(model(**settings))
    last = fit(model(**settings))
    assert_equal(parameters(whole), parameters(last))

    def told(fitted):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in fitted.history_]

    assert told(whole) == told(last)
    assert (whole.stopped_by_, whole.best_epoch_) == (last.stopped_by_, last.best_epoch_)
    again = fit(model(**settings))
    assert_equal(parameters(again), parameters(last))


@pytest.mark.parametrize("what", ["data", "validation", "weights", "setting", "seed"])
def test_a_checkpoint_of_another_fit_is_refused(what, tmp_path):
    settings = {"checkpoint": str(tmp_path), "max_epochs": 2}
    fit(model(**settings))
    x, x_val, weights = X[TRAIN].copy(), X[VALID].copy(), None
    if what == "data":
        x[3, 2] += 1e-3
    if what == "validation":
        x_val[3, 2] += 1e-3
    if what == "weights":
        weights = np.ones(60)
    settings |= {"setting": {"l2": 0.1}, "seed": {"random_state": 4}}.get(what, {})
    with pytest.raises(SettingError, match="expected a checkpoint of the same data and settings, got one of others in"):
        model(**settings).fit(x, Y[TRAIN], sample_weight=weights, X_val=x_val, y_val=Y[VALID])


def test_partial_fit_keeps_the_optimizers_memory_and_takes_a_new_rate():
    def passes(*rates):
        estimator = model(dropout=0.0, optimizer="momentum")
        for rate in rates:
            estimator.set_params(learning_rate=rate).partial_fit(X[TRAIN], Y[TRAIN], classes=[0, 1])
        return parameters(estimator)

    constant, stopped = passes(0.03, 0.03), passes(0.03, 1e-12)
    once = passes(0.03)
    moved = max((constant[name] - once[name]).abs().max().item() for name in once)
    still = max((stopped[name] - once[name]).abs().max().item() for name in once)
    assert moved > 1e-3 and still < 1e-9
    estimator = model(optimizer="momentum").partial_fit(X[TRAIN], Y[TRAIN], classes=[0, 1])
    with pytest.raises(SettingError, match="optimizer='momentum', whose memory it is, got 'adam'"):
        estimator.set_params(optimizer="adam").partial_fit(X[TRAIN], Y[TRAIN])
