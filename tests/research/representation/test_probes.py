"""Probes and label efficiency against what scikit-learn finds on the same rows."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gradus.applications.vision import ImageClassifier
from gradus.core.errors import InputError
from gradus.estimators.mlp import MLPClassifier
from gradus.estimators.reliability import wilson
from gradus.research.autoencoders import Autoencoder
from gradus.research.representation import (
    PretrainedClassifier,
    label_efficiency,
    label_efficiency_exhibit,
    linear_probes,
    probe_exhibit,
)
from gradus.research.representation.probes import layer_features

X, Y = load_digits(return_X_y=True)
TRAIN, TEST = slice(0, 600), slice(1200, None)


@pytest.fixture(scope="module")
def model():
    return MLPClassifier(hidden=(24, 16), max_epochs=15, random_state=0).fit(X[:1200], Y[:1200])


def test_layers_are_what_the_network_computes(model):
    found = layer_features(model, X[:50])
    assert list(found) == ["inputs", "body.layers.1", "body.layers.3", "head.linear"]
    assert np.array_equal(found["inputs"], X[:50].astype(np.float32))
    network = model.network_
    with torch.no_grad():
        first = network.body.layers[:2](network.prepare(torch.tensor(X[:50], dtype=torch.float32)))
        logits = network(torch.tensor(X[:50], dtype=torch.float32))
    assert np.allclose(found["body.layers.1"], first, atol=1e-5)
    assert np.allclose(found["head.linear"], logits, atol=1e-5)
    assert all(not m._forward_hooks for m in network.modules())


def test_a_probe_is_a_logistic_regression_with_wilsons_interval(model):
    probes = linear_probes(model, X[TRAIN], Y[TRAIN], X[TEST], Y[TEST])
    oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)).fit(X[TRAIN], Y[TRAIN])
    right = (oracle.predict(X[TEST]) == Y[TEST]).mean()
    assert abs(probes[0].accuracy - right) < 0.006
    low, high = wilson(round(probes[0].accuracy * len(Y[TEST])), len(Y[TEST]))
    assert (probes[0].low, probes[0].high) == (float(low), float(high))
    assert [p.features for p in probes] == [64, 24, 16, 10]
    shuffled = linear_probes(model, X[TRAIN], np.random.default_rng(0).permutation(Y[TRAIN]), X[TEST], Y[TEST])
    assert max(p.accuracy for p in shuffled) < 0.25
    with pytest.raises(InputError, match="y_test with"):
        linear_probes(model, X[TRAIN], Y[TRAIN], X[TEST], Y[TRAIN])
    shown = probe_exhibit(probes)
    assert shown.figure["data"][0]["text"][-1] == "head.linear" and len(shown.table) == 4
    assert shown.figure["data"][0]["error_y"]["array"][0] == pytest.approx(float(high) - probes[0].accuracy, abs=1e-5)


def test_layers_of_pictures_and_of_decoders_are_found_too():
    images = X.reshape(-1, 8, 8)
    seen = ImageClassifier(network="convolutional", channels=(8,), features=16, max_epochs=1, random_state=0)
    found = layer_features(seen.fit(images[:200], Y[:200]), images[:20])
    assert all(value.shape[0] == 20 and value.shape[1] <= 2048 for value in found.values())
    assert list(found.values())[-1].shape[1] == 10
    auto = Autoencoder(network="conv", channels=(4, 6), n_components=3, max_epochs=1, random_state=0).fit(images[:200])
    layers = layer_features(auto, images[:20])
    assert np.allclose(layers["encoder.dense.0"], auto.transform(images[:20]), atol=1e-5)
    assert [v.shape[1] for v in layers.values()][:4] == [64, 4 * 16, 6 * 4, 3]


def test_efficiency_gives_every_method_the_same_labels():
    class Recorder(LogisticRegression):
        seen: list = []  # noqa: RUF012

        def fit(self, X, y, X_unlabeled=None):
            Recorder.seen.append((len(y), np.sort(X.sum(1)), None if X_unlabeled is None else len(X_unlabeled)))
            return super().fit(X, y)

    models = {"one": Recorder(max_iter=500), "plain": LogisticRegression(max_iter=500)}
    table = label_efficiency(models, X[:500], Y[:500], X[TEST], Y[TEST], labels=(20, 500), seeds=(0, 1))
    assert [(n, extra) for n, _, extra in Recorder.seen] == [(20, 480), (500, None)] * 2
    assert not np.array_equal(Recorder.seen[0][1], Recorder.seen[2][1])
    pairs = table.pivot_table(index=["labels", "seed"], columns="method", values="accuracy")
    assert np.allclose(pairs["one"], pairs["plain"])  # the same rows, so the same answers
    assert len(table) == 8 and pairs.loc[500].nunique().max() == 1
    with pytest.raises(InputError, match="numbers of labels from 10"):
        label_efficiency(models, X[:500], Y[:500], X[TEST], Y[TEST], labels=(5,))


def test_the_curve_shows_means_and_spreads():
    rows = [("a", 10, 0, 0.6), ("a", 10, 1, 0.8), ("b", 10, 0, 0.5), ("a", 100, 0, 0.9), ("b", 100, 0, 0.9)]
    table = pd.DataFrame(rows, columns=["method", "labels", "seed", "accuracy"])
    one, other = label_efficiency_exhibit(table).figure["data"]
    assert one["name"] == "a" and one["x"] == [10, 100] and np.allclose(one["y"], [0.3, 0.1])
    assert np.allclose(one["error_y"]["array"], [np.std([0.6, 0.8], ddof=1), 0])
    assert np.allclose(other["y"], [0.5, 0.1])


def test_pretraining_takes_the_other_rows():
    settings = {"hidden": (20,), "pretrain_epochs": 1, "max_epochs": 2}
    table = label_efficiency(
        {"pretrained": PretrainedClassifier(**settings)}, X[:200], Y[:200], X[TEST], Y[TEST], labels=(40,), seeds=(3,)
    )
    assert table["seed"].tolist() == [3] and 0 < table["accuracy"][0] < 1
