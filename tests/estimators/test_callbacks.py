"""scikit-learn's callbacks: told of every fit and epoch, given what they need, heard when they say stop."""

import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from estimators.cases import (
    CLASSIFIERS,
    ESTIMATORS,
    REGRESSORS,
    answers_of,
    data_for,
    inputs_for,
    name_of,
    small,
    weights_of,
)
from gradus.core.errors import NonFiniteError
from gradus.estimators.mlp import MLPClassifier, MLPRegressor

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")

every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)
SCORES = {True: {"score": get_scorer("accuracy")}, False: {"score": get_scorer("r2")}}


class Recorder:
    """Keep what the hooks are told, and stop after a given number of epochs."""

    def __init__(self, stop_after=None, noisy=False):
        self.stop_after, self.noisy, self.events = stop_after, noisy, []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.events.append(("begin", context.task_name, context.task_id, context.max_subtasks))
        self.shapes = np.shape(X), np.shape(y)
        self.metadata = metadata
        if self.noisy:
            torch.rand(7)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(("end", context.task_name, context.task_id))
        if self.noisy:
            torch.manual_seed(0)
            fitted_estimator.predict(X)
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after

    def named(self, kind, task):
        return [event for event in self.events if event[:2] == (kind, task)]


# -- alone --------------------------------------------------------------------------------------------------------


@every
def test_every_epoch_is_a_task_of_the_fit(cls):
    X, y = data_for(cls)
    recorder = Recorder()
    weights = np.ones(50)
    model = small(cls, max_epochs=3).set_callbacks(recorder).fit(X, y, sample_weight=weights)
    epochs = [e for i in range(3) for e in (("begin", "epoch", i, 0), ("end", "epoch", i))]
    assert recorder.events == ["setup", ("begin", "fit", 0, 3), *epochs, ("end", "fit", 0), "teardown"]
    assert recorder.shapes == (X.shape, y.shape)
    assert list(recorder.metadata) == ["sample_weight"] and recorder.metadata["sample_weight"] is weights
    assert not hasattr(model, "_callback_fit_ctx")


@every
def test_callbacks_do_not_touch_what_is_learned(cls):
    X, y = data_for(cls)
    plain = small(cls, dropout=0.4).fit(X, y)
    state = torch.get_rng_state()
    watched = small(cls, dropout=0.4).set_callbacks(Recorder(noisy=True)).fit(X, y)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(weights_of(watched), weights_of(plain))


@every
def test_a_callback_that_says_stop_is_heard(cls):
    X, y = data_for(cls)
    recorder = Recorder(stop_after=2)
    model = small(cls, max_epochs=50).set_callbacks(recorder).fit(X, y)
    assert model.n_epochs_ == 2 and model.stopped_by_ == "callback"
    assert len(recorder.named("begin", "epoch")) == len(recorder.named("end", "epoch")) == 2
    assert np.array_equal(answers_of(model, X), answers_of(small(cls, max_epochs=2).fit(X, y), X))


class Target:
    """A user's own: stop when the training loss, which the fitted copy's history holds, falls below a goal."""

    def __init__(self, goal):
        self.goal = goal

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return context.task_name == "epoch" and fitted_estimator.history_[-1]["loss"] < self.goal


@every
def test_a_callback_can_stop_at_a_loss(cls):
    X, y = data_for(cls)
    losses = [row["loss"] for row in small(cls, max_epochs=20).fit(X, y).history_]
    goal = (losses[0] + min(losses)) / 2
    first = next(i for i, loss in enumerate(losses) if loss < goal)
    model = small(cls, max_epochs=20).set_callbacks(Target(goal)).fit(X, y)
    assert 0 < first < 19 and model.n_epochs_ == first + 1


def epochs_of(monitor):
    return [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]


@every
def test_the_scores_of_each_epoch_are_those_of_fits_that_ended_there(cls):
    X, y = data_for(cls)
    monitor = callback.ScoringMonitor(scoring=SCORES[cls in CLASSIFIERS])
    model = small(cls, max_epochs=4, dropout=0.3).set_callbacks(monitor).fit(X, y)
    scores = [row["score"] for row in epochs_of(monitor)]
    shorter = [small(cls, max_epochs=k, dropout=0.3).fit(X, y).score(X, y) for k in (1, 2, 3, 4)]
    assert scores == pytest.approx(shorter, rel=1e-6) and len(set(scores)) > 1
    whole = [row["score"] for row in monitor.get_logs().data if row["task_name"] == "fit"]
    assert whole == [model.score(X, y)]


@pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
def test_scores_are_weighted_as_the_fit_is(cls):
    X, y = data_for(cls)
    weights = np.where(y == "low", 5.0, 1.0)
    monitor = callback.ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    model = small(cls).set_callbacks(monitor).fit(X, y, sample_weight=weights)
    last = epochs_of(monitor)[-1]
    assert last["accuracy"] == pytest.approx(model.score(X, y, sample_weight=weights))
    assert last["neg_log_loss"] < 0


@pytest.mark.parametrize("cls", REGRESSORS, ids=name_of)
def test_at_the_end_the_distribution_is_ready_too(cls):
    X, y = data_for(cls)

    def likelihood(model, X, y):
        return model.predict_distribution(X).log_prob(torch.tensor(y, dtype=torch.float32)).mean().item()

    monitor = callback.ScoringMonitor(scoring={"score": likelihood})
    model = small(cls).set_callbacks(monitor).fit(X, y)
    [end] = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
    assert end["score"] == pytest.approx(likelihood(model, X, y))


@every
def test_averaged_weights_are_what_a_callback_sees(cls):
    X, y = data_for(cls)
    monitor = callback.ScoringMonitor(scoring=SCORES[cls in CLASSIFIERS])
    model = small(cls, average_decay=0.9).set_callbacks(monitor).fit(X, y)
    assert epochs_of(monitor)[-1]["score"] == pytest.approx(model.score(X, y), rel=1e-6)


@every
def test_the_progress_bar_counts_epochs_and_leaves_nothing_behind(cls, capsys):
    X, y = data_for(cls)
    small(cls, max_epochs=3).set_callbacks(callback.ProgressBar()).fit(X, y)
    assert cls.__name__ in capsys.readouterr().out
    assert not [t for t in threading.enumerate() if type(t).__name__ == "RichProgressMonitor"]


def test_what_was_seen_at_an_epoch_stays_as_it_was():
    X, y = data_for(MLPRegressor)
    kept = []

    class Keep(Target):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_name == "epoch":
                kept.append((fitted_estimator, fitted_estimator.predict(X)))

    small(MLPRegressor).set_callbacks(Keep(0)).fit(X, y)
    for model, answer in kept:
        assert np.array_equal(model.predict(X), answer)
    assert [m.n_epochs_ for m, _ in kept] == [1, 2, 3, 4]
    assert [len(m.history_) for m, _ in kept] == [1, 2, 3, 4]


# -- other ways to end --------------------------------------------------------------------------------------------


def test_a_fit_that_fails_still_tears_down():
    X, y = data_for(MLPClassifier)
    recorder = Recorder()
    model = small(MLPClassifier, optimizer="sgd", learning_rate=1e30, max_epochs=20).set_callbacks(recorder)
    with pytest.raises(NonFiniteError):
        model.fit(X, y)
    assert recorder.events[0] == "setup" and recorder.events[-1] == "teardown"
    assert recorder.events.count("teardown") == 1


def test_refused_data_do_not_set_up():
    X, y = data_for(MLPClassifier)
    recorder = Recorder()
    with pytest.raises(ValueError):
        small(MLPClassifier).set_callbacks(recorder).fit(X, y[:-1])
    assert recorder.events == []


@pytest.mark.parametrize("retrain", ["none", "epochs", "continue"])
def test_training_again_is_part_of_the_same_fit(retrain):
    X, y = data_for(MLPRegressor)
    recorder = Recorder()
    settings = {"max_epochs": 6, "patience": 2, "retrain": retrain}
    model = small(MLPRegressor, **settings).set_callbacks(recorder)
    model.fit(X, y, X_val=inputs_for(MLPRegressor, seed=3), y_val=y[::-1])
    assert recorder.events.count("setup") == recorder.events.count("teardown") == 1
    assert len(recorder.named("begin", "fit")) == len(recorder.named("end", "fit")) == 1
    assert [e[2] for e in recorder.named("end", "epoch")] == list(range(len(recorder.named("begin", "epoch"))))
    assert recorder.named("begin", "fit")[0][3] == (6 if retrain == "none" else None)


@pytest.mark.parametrize("budget", [{"max_epochs": 0}, {"max_steps": 4}, {"max_steps": 5}, {"max_time": 1e-9}])
def test_every_task_begun_is_ended(budget):
    X, y = data_for(MLPRegressor)
    recorder = Recorder()
    model = small(MLPRegressor, **budget).set_callbacks(recorder).fit(X, y)
    assert len(recorder.named("begin", "epoch")) == len(recorder.named("end", "epoch"))
    assert model.n_epochs_ <= len(recorder.named("end", "epoch")) <= model.n_epochs_ + 1
    assert recorder.events[-2:] == [("end", "fit", 0), "teardown"]


def test_passes_are_not_fits():
    X, y = data_for(MLPClassifier)
    recorder = Recorder()
    model = small(MLPClassifier).set_callbacks(recorder).partial_fit(X, y)
    assert recorder.events == [] and not hasattr(model, "_callback_fit_ctx")


def test_a_stopped_training_is_not_taken_up_again():
    X, y = data_for(MLPRegressor)
    model = small(MLPRegressor, retrain="epochs", max_epochs=9).set_callbacks(Recorder(stop_after=2))
    model.fit(X, y, X_val=X, y_val=y)
    assert model.n_epochs_ == 2 and model.stopped_by_ == "callback"


# -- inside others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_inside_a_search_every_candidate_is_monitored(n_jobs):
    X, y = data_for(MLPClassifier)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    net = small(MLPClassifier, max_epochs=3).set_callbacks(monitor)
    search = GridSearchCV(net, {"hidden": [(4,), (8,)]}, cv=2, n_jobs=n_jobs).fit(X, y)
    rows = epochs_of(monitor)
    assert len(rows) == 3 * (2 * 2 + 1)  # epochs of each candidate on each fold, and of the last fit
    assert len({row["parent_task_id_path"] for row in rows}) == 5
    refit = [row["accuracy"] for row in rows][-1] if n_jobs is None else None
    assert refit is None or search.best_estimator_.score(X, y) in [row["accuracy"] for row in rows]


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_bar_on_a_search_reaches_the_epochs(n_jobs, capsys):
    X, y = data_for(MLPClassifier)
    bar = callback.ProgressBar(max_propagation_depth=None)
    GridSearchCV(small(MLPClassifier), {"hidden": [(4,), (8,)]}, cv=2, n_jobs=n_jobs).set_callbacks(bar).fit(X, y)
    shown = capsys.readouterr().out
    assert "GridSearchCV" in shown and "MLPClassifier" in shown


def test_a_stop_inside_a_search_ends_each_candidate():
    X, y = data_for(MLPClassifier)
    net = small(MLPClassifier, max_epochs=30).set_callbacks(Recorder(stop_after=2))
    search = GridSearchCV(net, {"hidden": [(4,), (8,)]}, cv=2).fit(X, y)
    assert search.best_estimator_.n_epochs_ == 2


def test_inside_a_pipeline():
    X, y = data_for(MLPClassifier)
    recorder = Recorder()
    pipe = make_pipeline(StandardScaler(), small(MLPClassifier, max_epochs=2).set_callbacks(recorder)).fit(X, y)
    assert len(recorder.named("end", "epoch")) == 2 and pipe[-1].n_epochs_ == 2


def test_a_clone_keeps_its_callbacks_and_a_file_does_not(tmp_path):
    X, y = data_for(MLPClassifier)
    recorder = Recorder()
    model = small(MLPClassifier).set_callbacks(recorder).fit(X, y)
    assert clone(model)._skl_callbacks == [recorder]
    assert not hasattr(MLPClassifier.load(model.save(tmp_path)), "_skl_callbacks")
