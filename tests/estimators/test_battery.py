"""What holds for every estimator: seeds, isolation, forms of input, and what bad input gets."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from estimators.cases import (
    CLASSIFIERS,
    ESTIMATORS,
    TABLES,
    answers_of,
    data_for,
    inputs_for,
    learned_names,
    name_of,
    small,
    weights_of,
)
from gradus.core.errors import DeviceError, GradusError, InputError, NonFiniteError, SettingError

every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)


# -- seeds ------------------------------------------------------------------------------------------------------


@every
def test_one_seed_gives_the_same_bits_and_another_seed_others(cls):
    X, y = data_for(cls)
    noisy = {"dropout": 0.3}
    first, again = (small(cls, **noisy).fit(X, y) for _ in range(2))
    other = small(cls, **noisy, random_state=1).fit(X, y)
    assert np.array_equal(weights_of(first), weights_of(again))
    assert np.array_equal(answers_of(first, X), answers_of(again, X))
    assert not np.array_equal(weights_of(first), weights_of(other))
    assert not np.array_equal(answers_of(first, X), answers_of(other, X))


@every
def test_a_drawn_seed_is_kept_and_reproduces_the_fit(cls):
    X, y = data_for(cls)
    drawn, redrawn = (small(cls, random_state=None).fit(X, y) for _ in range(2))
    assert drawn.seed_ != redrawn.seed_  # equal with probability 2**-32
    assert drawn.random_state is None
    repeated = small(cls, random_state=drawn.seed_).fit(X, y)
    assert np.array_equal(weights_of(drawn), weights_of(repeated))


@every
def test_a_numpy_generator_moves_on_from_fit_to_fit(cls):
    X, y = data_for(cls)
    state = np.random.RandomState(3)
    first, second = (small(cls, random_state=state).fit(X, y) for _ in range(2))
    restarted = small(cls, random_state=np.random.RandomState(3)).fit(X, y)
    assert first.seed_ != second.seed_
    assert np.array_equal(weights_of(first), weights_of(restarted))


@pytest.mark.parametrize("seed", [-1, 2**32, "zero", 1.5, True])
@every
def test_a_wrong_seed_is_refused(cls, seed):
    X, y = data_for(cls)
    with pytest.raises(SettingError, match="random_state"):
        small(cls, random_state=seed).fit(X, y)


# -- the world is left as it was found ----------------------------------------------------------------------------


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def world():
    # Python's own generator is watched in a process without beartype, which draws from it (test_fresh_process.py).
    return (
        torch.get_rng_state().numpy().tobytes(),
        str(np.random.get_state(legacy=False)),  # noqa: NPY002 - the global generator is what must not move
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )


@every
def test_global_generators_and_threads_are_left_alone(cls, two_threads, tmp_path):
    X, y = data_for(cls)
    before = world()
    model = small(cls, dropout=0.5, random_state=None, n_threads=1, early_stopping=True).fit(X, y)
    assert world() == before, "fit"
    answers_of(model, X)
    model.score(X, y)
    model.predict_distribution(X)
    assert world() == before, "answers"
    model.partial_fit(X, y)
    assert world() == before, "partial_fit"
    type(model).load(model.save(tmp_path / "model"))
    assert world() == before, "persistence"


@every
def test_a_failing_fit_also_leaves_the_world_alone(cls, two_threads):
    X, y = data_for(cls)
    before = world()
    with pytest.raises(NonFiniteError, match="step"):
        small(cls, optimizer="sgd", learning_rate=1e30, n_threads=1, max_epochs=20).fit(X, y)
    assert world() == before


@every
def test_the_callers_generators_do_not_move_the_fit(cls):
    X, y = data_for(cls)
    vectors = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        vectors.append(weights_of(small(cls, dropout=0.3).fit(X, y)))
    assert np.array_equal(*vectors)


@every
def test_inputs_are_not_written_to(cls):
    X, y = data_for(cls)
    kept = X.copy(), y.copy()
    X.setflags(write=False)
    y.setflags(write=False)
    model = small(cls).fit(X, y)
    answers_of(model, X)
    assert np.array_equal(X, kept[0]) and np.array_equal(y, kept[1])


# -- the life of an estimator ----------------------------------------------------------------------------------


@every
def test_a_clone_is_unfitted_and_has_the_same_settings(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert learned_names(copy) == set()
    with pytest.raises(NotFittedError):
        copy.predict(X)


@every
def test_fit_answers_itself_and_does_not_change_settings(cls):
    X, y = data_for(cls)
    model = small(cls)
    before = model.get_params()
    assert model.fit(X, y) is model
    assert model.get_params() == before


@every
def test_a_second_fit_forgets_the_first(cls):
    X, y = data_for(cls)
    twice = small(cls).fit(*data_for(cls, seed=5)).fit(X, y)
    assert np.array_equal(weights_of(twice), weights_of(small(cls).fit(X, y)))


@every
def test_a_refused_fit_leaves_the_estimator_unfitted(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    with pytest.raises(ValueError):
        model.fit(X, y[:-1])
    assert learned_names(model) == set()
    with pytest.raises(NotFittedError):
        model.predict(X)


@every
def test_settings_changed_after_the_fit_do_not_change_answers(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    before = answers_of(model, X)
    model.set_params(hidden=(3, 3), max_epochs=9)
    assert np.array_equal(answers_of(model, X), before)


@every
def test_no_epoch_leaves_the_starting_weights(cls):
    X, y = data_for(cls)
    start, trained = small(cls, max_epochs=0).fit(X, y), small(cls).fit(X, y)
    assert start.n_epochs_ == start.n_steps_ == 0 and start.history_ == []
    assert not np.array_equal(weights_of(start), weights_of(trained))


@every
def test_history_counts_epochs_and_steps(cls):
    X, y = data_for(cls, n=50)
    model = small(cls, max_epochs=3, batch_size=16).fit(X, y)
    assert [row["epoch"] for row in model.history_] == [0, 1, 2]
    assert [row["step"] for row in model.history_] == [4, 8, 12]  # 50 rows make batches of 16, 16, 16 and 2
    assert model.n_epochs_ == 3 and model.n_steps_ == 12 and model.stopped_by_ == "max_epochs"


# -- forms of input ---------------------------------------------------------------------------------------------


def strided(X):
    """Return the same values with gaps between rows in memory."""
    return np.repeat(X, 2, axis=0)[::2]


FORMS = {
    "float32": lambda X: X.astype(np.float32),
    "float16": lambda X: X.astype(np.float16),
    "int64": lambda X: X.astype(np.int64),
    "int16": lambda X: X.astype(np.int16),
    "list": lambda X: X.tolist(),
    "fortran": np.asfortranarray,
    "strided": strided,
    "reversed": lambda X: X[::-1].copy()[::-1],
    "big_endian": lambda X: X.astype(">f8"),
}


@pytest.mark.parametrize("form", FORMS)
@every
def test_one_table_in_another_form_gives_the_same_model(cls, form):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    other = small(cls).fit(FORMS[form](X), y)
    assert np.array_equal(weights_of(other), weights_of(model))
    assert np.array_equal(answers_of(other, FORMS[form](X)), answers_of(model, X))


@pytest.mark.parametrize("cls", [c for c in ESTIMATORS if c not in TABLES], ids=name_of)
def test_images_of_bytes_and_with_a_channel_axis_are_the_same_images(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    # Bytes have another full pixel, which standardizing undoes; rounding is all that differs.
    assert np.allclose(answers_of(small(cls).fit(X.astype(np.uint8), y), X), answers_of(model, X), atol=1e-3)
    assert np.array_equal(answers_of(model, X[..., None]), answers_of(model, X))


@pytest.mark.parametrize("cls", TABLES, ids=name_of)
def test_a_frame_gives_the_same_answers_and_keeps_its_names(cls):
    X, y = data_for(cls)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model, framed = small(cls).fit(X, y), small(cls).fit(frame, pd.Series(y))
    assert np.array_equal(answers_of(framed, frame), answers_of(model, X))
    assert framed.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert not hasattr(model, "feature_names_in_")
    with pytest.raises(ValueError, match=r"'?[a-e]'?"):
        framed.predict(frame.rename(columns={"d": "e"}))


@every
def test_targets_in_another_form_give_the_same_model(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    for form in (list, pd.Series, lambda values: values.astype(object)):
        assert np.array_equal(weights_of(small(cls).fit(X, form(y))), weights_of(model))


@every
def test_rows_are_answered_alike_alone_and_together(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    alone = np.concatenate([answers_of(model, X[i : i + 1]) for i in range(len(X))])
    assert np.allclose(alone, answers_of(model, X), rtol=1e-5, atol=1e-6)
    assert model.predict(X[:1]).shape == (1,)
    backwards = answers_of(model, X[::-1])[::-1]
    assert np.allclose(backwards, answers_of(model, X), rtol=1e-5, atol=1e-6)


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@every
def test_nan_and_infinity_are_refused_in_fit_and_predict(cls, bad):
    if np.isnan(bad) and get_tags(cls()).input_tags.allow_nan:
        pytest.skip("a gap is a value this estimator takes")
    X, y = data_for(cls)
    broken = X.copy()
    broken.reshape(len(X), -1)[3, 1] = bad
    model = small(cls).fit(X, y)
    for call in (
        lambda: small(cls).fit(broken, y),
        lambda: model.predict(broken),
        lambda: model.partial_fit(broken, y),
    ):
        with pytest.raises(ValueError, match=r"(?i)nan|infinity"):
            call()


@every
def test_another_width_is_refused(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    for wrong in (X[:, :-1], np.concatenate([X, X[:, :1]], axis=1)):
        for call in (lambda w=wrong: model.predict(w), lambda w=wrong: model.partial_fit(w, y)):
            with pytest.raises(ValueError, match=r"(?i)features|shape"):
                call()
        with pytest.raises(ValueError, match=r"(?i)features|shape"):
            small(cls).fit(X, y, X_val=wrong, y_val=y)


@every
def test_lengths_that_differ_are_refused(cls):
    X, y = data_for(cls)
    for wrong in (y[:-1], np.concatenate([y, y[:1]])):
        with pytest.raises(InputError, match="50 rows"):
            small(cls).fit(X, wrong)
        with pytest.raises(InputError, match="50 rows"):
            small(cls).fit(X, y, X_val=X, y_val=wrong)
    with pytest.raises(InputError, match="sample_weight with 50 rows"):
        small(cls).fit(X, y, sample_weight=np.ones(49))


@every
def test_a_target_that_is_missing_is_refused(cls):
    X, y = data_for(cls)
    gap = y.astype(object)
    gap[4] = np.nan
    with pytest.raises(ValueError, match=r"(?i)nan|one type"):
        small(cls).fit(X, gap)
    with pytest.raises(ValueError, match="requires y"):
        small(cls).fit(X, None)


@every
def test_no_rows_and_no_columns_are_refused(cls):
    X, y = data_for(cls)
    model = small(cls).fit(X, y)
    for call in (
        lambda: small(cls).fit(X[:0], y[:0]),
        lambda: model.predict(X[:0]),
        lambda: small(cls).fit(X[:, :0], y),
    ):
        with pytest.raises(ValueError, match=r"0 sample|0 feature|0 row|\(0|, 0"):
            call()


@every
def test_validation_inputs_without_targets_are_refused(cls):
    X, y = data_for(cls)
    with pytest.raises(InputError, match="X_val and y_val together, got X_val alone"):
        small(cls).fit(X, y, X_val=X)
    with pytest.raises(InputError, match="X_val and y_val together, got y_val alone"):
        small(cls).fit(X, y, y_val=y)


@pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
def test_one_class_is_refused_with_a_sentence(cls):
    X, y = data_for(cls)
    with pytest.raises(InputError, match="at least 2 classes in y, got 1 class"):
        small(cls).fit(X, np.full_like(y, "mid"))


@pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
def test_a_class_not_fitted_is_refused_by_name(cls):
    X, y = data_for(cls)
    strange = np.where(np.arange(len(y)) == 3, "odd", y)
    with pytest.raises(InputError, match="'odd'"):
        small(cls).fit(X, y, X_val=X, y_val=strange)
    with pytest.raises(InputError, match="'odd'"):
        small(cls).fit(X, y).partial_fit(X, strange)
    with pytest.raises(InputError, match="classes that were fitted"):
        small(cls).fit(X, y, X_val=X, y_val=np.arange(len(y)) % 3)


@every
def test_an_absent_device_is_refused(cls):
    X, y = data_for(cls)
    with pytest.raises(GradusError, match="gpu"):
        small(cls, device="gpu").fit(X, y)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="cuda"):
            small(cls, device="cuda").fit(X, y)


@every
def test_wrong_sample_weights_are_refused(cls):
    X, y = data_for(cls)
    for weights in (-np.ones(50), np.full(50, np.nan), np.zeros(50), np.ones((50, 2))):
        with pytest.raises(InputError, match=r"(?i)sample.weight"):
            small(cls).fit(X, y, sample_weight=weights)


# -- early stopping -----------------------------------------------------------------------------------------------


@every
def test_validation_data_stop_training_and_the_best_weights_are_kept(cls):
    X, y = data_for(cls)
    shuffled = np.random.default_rng(1).permutation(y)  # nothing to learn: overfitting sets in at once
    model = small(cls, max_epochs=200, patience=3).fit(X, y, X_val=inputs_for(cls, seed=9), y_val=shuffled)
    losses = [row["valid_loss"] for row in model.history_]
    assert model.stopped_by_ == "early_stopping"
    assert model.best_epoch_ == int(np.argmin(losses))
    assert model.n_epochs_ == model.best_epoch_ + 1 + 3 < 200
    again = small(cls, max_epochs=model.best_epoch_ + 1, early_stopping=False).fit(X, y)
    assert np.array_equal(answers_of(model, X), answers_of(again, X))


@every
def test_early_stopping_can_be_switched_off_and_held_out_rows_switched_on(cls):
    X, y = data_for(cls)
    off = small(cls, early_stopping=False).fit(X, y, X_val=X, y_val=y)
    assert off.best_epoch_ is None and "valid_loss" in off.history_[0]
    assert np.array_equal(answers_of(off, X), answers_of(small(cls).fit(X, y), X))
    held = small(cls, early_stopping=True, validation_fraction=0.2).fit(X, y)
    assert "valid_loss" in held.history_[0]
    assert held.history_[0]["step"] == 3  # 40 of 50 rows in batches of 16


# -- going on --------------------------------------------------------------------------------------------------


@every
def test_warm_start_goes_on_from_the_weights_there_are(cls):
    X, y = data_for(cls)
    model = small(cls, warm_start=True, max_epochs=20).fit(X, y)
    trained, last = weights_of(model), model.history_[-1]["loss"]
    model.set_params(max_epochs=0).fit(X, y)
    assert np.array_equal(weights_of(model), trained)
    first = small(cls).fit(X, y).history_[0]["loss"]
    model.set_params(max_epochs=1).fit(X, y)
    assert abs(model.history_[0]["loss"] - last) < 0.5 * abs(first - last)


@every
def test_warm_start_with_another_network_is_refused(cls):
    X, y = data_for(cls)
    model = small(cls, warm_start=True).fit(X, y)
    model.set_params(hidden=[16]).fit(X, y)  # the same as a list
    with pytest.raises(SettingError, match=r"hidden=\(16,\)"):
        model.set_params(hidden=(7,)).fit(X, y)


@every
def test_partial_fit_passes_make_one_fit(cls):
    """One batch an epoch: five passes take the five steps of a fit, momentum and all."""
    X, y = data_for(cls)
    settings = {"batch_size": 50, "learning_rate": 0.01, "optimizer": "adam"}
    whole = small(cls, **settings, max_epochs=5).fit(X, y)
    passes = small(cls, **settings)
    for _ in range(5):
        passes.partial_fit(X, y)
    forgetful = small(cls, **settings, max_epochs=1, warm_start=True)
    for _ in range(5):
        forgetful.fit(X, y)
    start = weights_of(small(cls, max_epochs=0).fit(X, y))
    moved = np.abs(weights_of(whole) - start).max()
    assert np.abs(weights_of(passes) - weights_of(whole)).max() < 1e-3 * moved
    assert np.abs(weights_of(forgetful) - weights_of(whole)).max() > 1e-2 * moved  # without the memory
    assert passes.n_epochs_ == passes.n_steps_ == 5
    assert [row["epoch"] for row in passes.history_] == [0, 1, 2, 3, 4]
    assert np.allclose([r["loss"] for r in passes.history_], [r["loss"] for r in whole.history_], rtol=1e-4)


@every
def test_partial_fit_goes_on_after_fit_and_draws_a_new_order_each_pass(cls):
    X, y = data_for(cls)
    fitted = small(cls).fit(X, y)
    before = weights_of(fitted)
    fitted.partial_fit(X, y)
    assert fitted.n_epochs_ == 5 and fitted.n_steps_ == 20
    assert not np.array_equal(weights_of(fitted), before)
    first, again = small(cls), small(cls)
    for _ in range(2):
        first.partial_fit(X, y)
        again.partial_fit(X, y)
    assert np.array_equal(weights_of(first), weights_of(again))


@pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)
def test_partial_fit_takes_classes_that_are_to_come(cls):
    X, y = data_for(cls)
    order = np.argsort(y, kind="stable")
    model = small(cls)
    for part in np.array_split(order, 5):
        model.partial_fit(X[part], y[part], classes=["top", "mid", "low"])
    assert model.classes_.tolist() == ["low", "mid", "top"]
    assert model.predict_proba(X).shape == (50, 3)
    with pytest.raises(InputError, match="2 classes"):
        small(cls).partial_fit(X[order[:10]], y[order[:10]])
