"""Classes of whole series: forms of input, published error rates, and what each network may not depend on."""

import numpy as np
import pandas as pd
import pytest
import torch

from gradus.applications.timeseries import (
    NearestSeriesClassifier,
    RandomConvolutionClassifier,
    SequenceClassifier,
)
from gradus.applications.timeseries.classical import _draw_kernels
from gradus.applications.timeseries.sequences import channel_moments, read_sequences, stretch
from gradus.core.errors import InputError, SettingError

QUICK = {"width": 8, "max_epochs": 3, "random_state": 0, "n_threads": 1}
KINDS = {
    "fcn": SequenceClassifier(**QUICK),
    "resnet": SequenceClassifier(network="resnet", **QUICK),
    "lstm": SequenceClassifier(network="lstm", **QUICK),
    "nearest": NearestSeriesClassifier(),
    "random": RandomConvolutionClassifier(kernels=50, random_state=0),
}
every = pytest.mark.parametrize("name", KINDS)


def ragged(n=40, channels=2, seed=0):
    """Series of 10 to 20 steps; those of the second class swing in the first channel."""
    rng = np.random.default_rng(seed)
    y = np.array(["calm", "wave"])[np.arange(n) % 2]
    X = [rng.normal(0, 0.3, (rng.integers(10, 21), channels)) for _ in range(n)]
    for i, series in enumerate(X):
        series[:, 0] += (i % 2) * np.sin(np.arange(len(series)))
    return X, y


def padded_with_nan(X):
    longest = max(len(series) for series in X)
    out = np.full((len(X), longest, X[0].shape[1]), np.nan)
    for row, series in zip(out, X, strict=True):
        row[: len(series)] = series
    return out


# -- input -------------------------------------------------------------------------------------------------------------


def test_forms_of_input_are_read_alike():
    X, _ = ragged(5)
    one, two = read_sequences(X), read_sequences(padded_with_nan(X))
    assert np.array_equal(one.values, two.values) and one.lengths.tolist() == [len(s) for s in X]
    assert read_sequences(np.ones((3, 7))).values.shape == (3, 7, 1)
    assert read_sequences([[1, 2, 3], [4, 5]]).lengths.tolist() == [3, 2]


def test_moments_are_those_of_the_values_that_are_there():
    X, _ = ragged(9)
    mean, deviation = channel_moments(read_sequences(X))
    whole = np.concatenate(X)
    np.testing.assert_allclose(mean, whole.mean(0))
    np.testing.assert_allclose(deviation, whole.std(0))
    weights = np.arange(1.0, 10.0)
    mean, _ = channel_moments(read_sequences(X), weights)
    np.testing.assert_allclose(mean, np.average(whole, axis=0, weights=np.repeat(weights, [len(s) for s in X])))
    assert channel_moments(read_sequences(np.full((2, 5), 3.0)))[1].tolist() == [1.0]


def test_stretching_is_numpys_interpolation():
    X, _ = ragged(6)
    found = stretch(read_sequences(X), 33)
    for row, series in zip(found.values, X, strict=True):
        for c in range(2):
            at = np.linspace(0, len(series) - 1, 33)
            np.testing.assert_allclose(row[:, c], np.interp(at, np.arange(len(series)), series[:, c]), atol=1e-12)
    same = read_sequences(np.arange(12.0).reshape(2, 6))
    assert stretch(same, 6).values is not None and np.array_equal(stretch(same, 6).values, same.values)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros((2, 3, 4, 5)), r"\(n, time\) or \(n, time, channels\)"),
        (np.zeros((3, 0)), r"\(n, time\) or"),
        ([[1.0, np.nan, 2.0]], "inside series 0"),
        ([[1.0, 2.0], [np.inf, 2.0]], "inside series 1"),
        (np.array([[1.0, 2.0], [np.nan, np.nan]]), "none in series 1"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], "one number of channels"),
        ([["a", "b"]], "series of numbers"),
        ([], "a list of series"),
        ([[1e40, 1.0]], "numbers up to 1e\\+36"),
    ],
)
def test_bad_series_get_a_sentence(X, words):
    with pytest.raises(InputError, match=words):
        read_sequences(X)


# -- estimators --------------------------------------------------------------------------------------------------------


@every
def test_classes_are_learned_and_stored(name, tmp_path):
    X, y = ragged()
    new, truth = ragged(seed=1)
    model = KINDS[name].set_params()
    if name in ("fcn", "resnet", "lstm"):
        model = SequenceClassifier(network=name, **{**QUICK, "max_epochs": 25, "learning_rate": 0.01})
    model.fit(X, y)
    assert model.score(new, truth) >= 0.85
    again = type(model).load(model.save(tmp_path / "model"))
    call = "decision_function" if name == "random" else "predict_proba"
    assert np.array_equal(getattr(again, call)(new), getattr(model, call)(new))


@every
def test_answers_do_not_depend_on_the_form_or_on_the_padding(name):
    X, y = ragged()
    model = KINDS[name].fit(X, y)
    ask = model.decision_function if name == "random" else model.predict_proba
    stacked = padded_with_nan(X)
    longer = np.concatenate([stacked, np.full((len(X), 7, 2), np.nan)], 1)
    np.testing.assert_allclose(ask(stacked), ask(X), atol=1e-6)
    np.testing.assert_allclose(ask(longer), ask(X), atol=1e-6)
    np.testing.assert_allclose(ask(X[3:4]), ask(X)[3:4], atol=1e-5)  # and not on the series they come with


@every
def test_other_channels_or_classes_are_refused(name):
    X, y = ragged()
    model = KINDS[name]
    with pytest.raises(InputError, match="2 channels, as fitted"):
        model.fit(X, y).predict(np.zeros((2, 9, 3)))
    with pytest.raises(InputError, match="at least 2 classes"):
        model.fit(X, np.zeros(len(X)))
    with pytest.raises((InputError, ValueError), match="40"):
        model.fit(X, y[:-1])


def test_a_unit_of_a_channel_does_not_matter():
    X, y = ragged()
    other = [series * [1e6, 1e-6] + [3e6, 5.0] for series in X]
    for model in (NearestSeriesClassifier(neighbors=3), RandomConvolutionClassifier(kernels=50, random_state=0)):
        one, two = model.fit(X, y).predict(X), model.fit(other, y).predict(other)
        assert np.array_equal(one, two)


def test_several_neighbours_vote():
    X = np.array([[0.0], [1.0], [2.0], [10.0], [11.0]])
    model = NearestSeriesClassifier(neighbors=3).fit(X, ["a", "b", "a", "b", "b"])
    np.testing.assert_allclose(model.predict_proba([[1.1]]), [[2 / 3, 1 / 3]])
    assert model.predict([[9.0]]).tolist() == ["b"]


def test_random_convolutions_by_hand():
    """One kernel at a time, in plain loops: largest value of its map, and the share of positive ones."""
    X, y = ragged(6)
    model = RandomConvolutionClassifier(kernels=30, random_state=3).fit(X, y)
    features, column = model.transform(X), 0
    series = (stretch(read_sequences(X), model.length_).values - model.channel_mean_) / model.channel_deviation_
    for (dilation, padding), weight, bias in _draw_kernels(30, 2, model.length_, model.seed_):
        for kernel, shift in zip(weight.double().numpy(), bias.double().numpy(), strict=True):
            np.testing.assert_allclose(kernel.sum(1), 0, atol=1e-5)
            padded = np.pad(series[2], ((padding, padding), (0, 0)))
            taps = dilation * np.arange(kernel.shape[1])
            spots = range(len(padded) - taps[-1])
            found = np.array([(kernel.T * padded[s + taps]).sum() + shift for s in spots])
            assert features[2, 30 + column] == pytest.approx(found.max(), abs=1e-4)
            assert features[2, column] == pytest.approx((found > 0).mean(), abs=1.5 / len(found))
            column += 1
    assert column == 30


def test_settings_are_checked():
    X, y = ragged(8)
    with pytest.raises(SettingError, match="did you mean 'resnet'"):
        SequenceClassifier(network="resnt").fit(X, y)
    with pytest.raises(SettingError, match="neighbors"):
        NearestSeriesClassifier(neighbors=0).fit(X, y)


@pytest.mark.parametrize("name", ["fcn", "resnet", "lstm"])
def test_weights_and_seeds(name):
    X, y = ragged()
    settings = {"network": name, **QUICK}
    one, two = (SequenceClassifier(**settings).fit(X, y) for _ in range(2))
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    twice = SequenceClassifier(**settings, early_stopping=False).fit(X, y, sample_weight=np.zeros(len(X)) + 2.0)
    np.testing.assert_allclose(twice.predict_proba(X), one.predict_proba(X), atol=1e-3)
    none = np.where(np.arange(len(X)) < 30, 1.0, 0.0)
    part = SequenceClassifier(**settings).fit(X, y, sample_weight=none)
    without = SequenceClassifier(**settings).fit(X[:30], y[:30])
    np.testing.assert_allclose(part.predict_proba(X), without.predict_proba(X), atol=1e-6)
    assert torch.is_tensor(one.network_.body.mean) and one.n_features_in_ == 2


# -- published results -------------------------------------------------------------------------------------------------


def archive(home, name):
    with np.load(home / "timeseries" / f"{name}.npz", allow_pickle=False) as z:
        return [(z[f"x_{part}"].transpose(0, 2, 1), z[f"y_{part}"]) for part in ("train", "test")]


@pytest.mark.data
@pytest.mark.parametrize(("name", "error"), [("GunPoint", 0.0867), ("ItalyPowerDemand", 0.0447)])
def test_the_nearest_neighbour_errs_as_published(data_home, name, error):
    """Error rates of the UCR archive's own table, column ``ED (w=0)``."""
    (X, y), (new, truth) = archive(data_home, name)
    wrong = 1 - NearestSeriesClassifier().fit(X, y).score(new, truth)
    assert wrong == pytest.approx(error, abs=6e-5)


@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("GunPoint", 0.98), ("ItalyPowerDemand", 0.955), ("JapaneseVowels", 0.97)])
def test_random_convolutions_reach_what_is_published(data_home, name, least):
    """ROCKET with 10,000 kernels: 1.000, 0.969 and, on the vowels, 0.96 to 0.99."""
    (X, y), (new, truth) = archive(data_home, name)
    assert RandomConvolutionClassifier(kernels=1000, random_state=0).fit(X, y).score(new, truth) >= least


@pytest.mark.data
def test_frames_of_words_for_classes(data_home):
    (X, y), (new, truth) = archive(data_home, "BasicMotions")
    model = RandomConvolutionClassifier(kernels=500, random_state=0).fit(X, pd.Series(y))
    assert set(model.predict(new)) <= set(y) and model.score(new, truth) >= 0.95
