"""Sample weights and class weights mean what they say: absent rows, repeated rows, one the other."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_sample_weight

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
from gradus.core.errors import SettingError
from gradus.estimators import gradient

every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)
every_classifier = pytest.mark.parametrize("cls", CLASSIFIERS, ids=name_of)


@pytest.mark.parametrize("batch_size", [16, 50], ids=["batches", "one_batch"])
@every
def test_a_weight_of_zero_is_a_row_removed_to_the_last_bit(cls, batch_size):
    X, y = data_for(cls)
    weights = np.random.default_rng(2).integers(0, 3, 50).astype(float)
    kept = weights > 0
    X[~kept] = 1e6  # so that a trace of them in any scale would show
    settings = {"batch_size": batch_size, "dropout": 0.2}
    whole = small(cls, **settings).fit(X, y, sample_weight=weights)
    part = small(cls, **settings).fit(X[kept], y[kept], sample_weight=weights[kept])
    assert np.array_equal(weights_of(whole), weights_of(part))


@every
def test_a_whole_weight_is_a_row_repeated(cls):
    """One batch, so that both take the same steps; computed in double precision, kept in single."""
    X, y = data_for(cls)
    times = np.random.default_rng(3).integers(1, 4, 50)
    weighted = small(cls, batch_size=200, max_epochs=15).fit(X, y, sample_weight=times)
    repeated = small(cls, batch_size=200, max_epochs=15).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    plain = small(cls, batch_size=200, max_epochs=15).fit(X, y)
    scale = np.abs(weights_of(plain)).max()
    apart = np.abs(weights_of(weighted) - weights_of(repeated)).max() / scale
    assert apart < 1e-5
    assert np.abs(weights_of(weighted) - weights_of(plain)).max() / scale > 100 * apart
    assert weighted.history_[-1]["loss"] == pytest.approx(repeated.history_[-1]["loss"], rel=1e-6)


@every
def test_one_weight_for_all_and_equal_weights_change_nothing(cls):
    X, y = data_for(cls)
    plain = small(cls, batch_size=50).fit(X, y)
    assert np.array_equal(weights_of(small(cls, batch_size=50).fit(X, y, sample_weight=3.0)), weights_of(plain))
    threes = small(cls, batch_size=50).fit(X, y, sample_weight=np.full(50, 3.0))
    assert np.allclose(weights_of(threes), weights_of(plain), rtol=1e-5, atol=1e-6)


@every
def test_partial_fit_takes_weights(cls):
    X, y = data_for(cls)
    weights = np.arange(50) % 3.0
    kept = weights > 0
    whole = small(cls).partial_fit(X, y, sample_weight=weights)
    part = small(cls).partial_fit(X[kept], y[kept], sample_weight=weights[kept])
    assert np.array_equal(weights_of(whole), weights_of(part))


@every
def test_heavy_rows_are_fitted_better(cls):
    X, y = data_for(cls, n=50)
    other = y[::-1].copy()
    both, targets = np.concatenate([X, X]), np.concatenate([y, other])
    weights = np.r_[np.full(50, 100.0), np.full(50, 1.0)]
    settings = {"max_epochs": 40, "batch_size": 100}
    first = small(cls, **settings).fit(both, targets, sample_weight=weights)
    second = small(cls, **settings).fit(both, targets, sample_weight=weights[::-1].copy())
    assert first.score(X, y) > second.score(X, y) and second.score(X, other) > first.score(X, other)


@pytest.mark.parametrize("cls", REGRESSORS, ids=name_of)
def test_the_gaussian_variance_is_weighted_too(cls):
    X, y = data_for(cls)
    weights = np.r_[np.ones(40), np.zeros(10)]
    y[40:] += 1e4
    whole = small(cls).fit(X, y, sample_weight=weights)
    part = small(cls).fit(X[:40], y[:40])
    spreads = [m.predict_distribution(X[:5]).stddev for m in (whole, part)]
    assert torch.allclose(*spreads, rtol=1e-5)
    # the maximum likelihood estimate: the mean square of the residuals
    residuals = y[:40] - part.predict(X[:40])
    assert spreads[1].numpy() == pytest.approx(np.sqrt(np.mean(residuals**2)), rel=1e-4)


@pytest.mark.parametrize("cls", REGRESSORS, ids=name_of)
def test_the_gaussian_variance_comes_from_held_out_rows(cls):
    X, y = data_for(cls)
    X_val = inputs_for(cls, seed=4)
    y_val = np.round(np.random.default_rng(4).normal(50, 100, 50))
    model = small(cls).fit(X, y, X_val=X_val, y_val=y_val)
    spread = model.predict_distribution(X[:1]).stddev.item()
    assert spread == pytest.approx(np.sqrt(np.mean((y_val - model.predict(X_val)) ** 2)), rel=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cls", REGRESSORS, ids=name_of)
def test_the_gaussian_variance_comes_from_the_rows_trained_on_where_some_are_held_out(cls, weighted, monkeypatch):
    X, y = data_for(cls)
    weights = np.random.default_rng(5).integers(0, 3, 50).astype(float) if weighted else None
    seen = []
    take = gradient._take

    def watched(tensors, rows):
        seen.append(take(tensors, rows))
        return seen[-1]

    monkeypatch.setattr(gradient, "_take", watched)
    model = small(cls, early_stopping=True, validation_fraction=0.4).fit(X, y, sample_weight=weights)
    trained, held = ({name: part[name].double().numpy() for name in part} for part in seen)
    assert len(trained["targets"]) > len(held["targets"]) > 9
    (inputs,) = (values for name, values in trained.items() if name not in ("targets", "weights"))
    squares = (trained["targets"] - model.predict(inputs)) ** 2
    spread = model.predict_distribution(X[:1]).stddev.item()
    assert spread == pytest.approx(np.sqrt(np.average(squares, weights=trained.get("weights"))), rel=1e-4)
    (inputs,) = (values for name, values in held.items() if name not in ("targets", "weights"))
    apart = (held["targets"] - model.predict(inputs)) ** 2
    assert spread != pytest.approx(np.sqrt(np.mean(np.r_[squares, apart])), rel=1e-3)


@every_classifier
def test_class_weights_are_sample_weights_by_class(cls):
    X, y = data_for(cls)
    y[:20] = "mid"  # make classes unequal
    table = {"low": 3.0, "mid": 0.5, "top": 1.5}
    by_class = small(cls, class_weight=table).fit(X, y)
    by_row = small(cls).fit(X, y, sample_weight=[table[c] for c in y])
    assert np.array_equal(weights_of(by_class), weights_of(by_row))
    balanced = small(cls, class_weight="balanced").fit(X, y)
    by_row = small(cls).fit(X, y, sample_weight=compute_sample_weight("balanced", y))
    assert np.allclose(weights_of(balanced), weights_of(by_row), rtol=1e-5, atol=1e-6)
    assert not np.allclose(weights_of(balanced), weights_of(small(cls).fit(X, y)), rtol=1e-5, atol=1e-6)


@every_classifier
def test_class_weights_multiply_sample_weights(cls):
    X, y = data_for(cls)
    rows = np.random.default_rng(6).integers(0, 3, 50).astype(float)
    both = small(cls, class_weight={"low": 2.0}).fit(X, y, sample_weight=rows)
    product = small(cls).fit(X, y, sample_weight=rows * np.where(y == "low", 2.0, 1.0))
    assert np.array_equal(weights_of(both), weights_of(product))


@every_classifier
def test_balanced_classes_count_rows_by_their_weight(cls):
    X, y = data_for(cls)
    rows = np.where(y == "low", 0.0, 1.0)
    model = small(cls, class_weight="balanced").fit(X, y, sample_weight=rows)
    assert np.isfinite(answers_of(model, X)).all()
    assert model.classes_.tolist() == ["low", "mid", "top"]


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"lo": 1.0}, "'lo'"),
        ({"low": -1.0}, "-1.0"),
        ({"low": float("nan")}, "nan"),
        ({"low": "much"}, "'much'"),
        ({"low": 0, "mid": 0, "top": 0}, "zeros only"),
        ("balance", "did you mean 'balanced'"),
    ],
)
@every_classifier
def test_wrong_class_weights_are_refused(cls, weights, sentence):
    X, y = data_for(cls)
    with pytest.raises(SettingError, match=f"class_weight.*{sentence}"):
        small(cls, class_weight=weights).fit(X, y)


@every_classifier
def test_class_weights_of_several_labels_are_refused(cls):
    X, y = data_for(cls)
    with pytest.raises(SettingError, match="several labels"):
        small(cls, class_weight="balanced").fit(X, np.stack([y == "low", y == "mid"], axis=1).astype(int))


@every
def test_training_again_on_everything_keeps_the_weights(cls):
    """§7.8: validation rows, which have no weight, count once beside the weighted training rows."""
    X, y = data_for(cls)
    weights = np.r_[np.zeros(25), np.full(25, 2.0)]
    X_val, y_val = inputs_for(cls, seed=8), y
    settings = {"retrain": "epochs", "max_epochs": 3, "patience": 5, "batch_size": 128}
    model = small(cls, **settings).fit(X, y, sample_weight=weights, X_val=X_val, y_val=y_val)
    assert model.history_[-1]["step"] == model.n_epochs_  # one batch an epoch, of 25 + 50 rows
    unweighted = small(cls, **settings).fit(X[25:], y[25:], X_val=X_val, y_val=y_val)
    assert np.abs(weights_of(model) - weights_of(unweighted)).max() > 1e-4
