"""A checkpoint belongs to one fit: the digest tells fits apart, and not the ways of writing one."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from estimators.cases import data_for, small, weights_of
from gradus.core.errors import GradusError
from gradus.core.options import settings_of
from gradus.estimators.digest import FREE, digest
from gradus.estimators.mlp import MLPClassifier, MLPRegressor


def of(cls=MLPClassifier, seed=0, tensors=None, **settings):
    estimator = cls(**settings)
    estimator.seed_ = seed
    return digest(estimator, tensors or {"inputs": torch.arange(6.0).reshape(3, 2)})


def test_one_fit_written_in_two_ways_is_one_fit():
    assert of() == of()
    assert of(hidden=(8, 4), l2=0.5) == of(hidden=[8, np.int64(4)], l2=np.float64(0.5))
    assert of(class_weight={"a": 1.0, "b": 2.0}) == of(class_weight={"b": np.float64(2.0), "a": 1.0})
    assert of(random_state=3) == of(random_state=None)  # the seed in force is what counts


@pytest.mark.parametrize("name", sorted(FREE))
def test_budgets_and_places_are_free(name):
    other = {"max_time": 1.0, "checkpoint": "x", "verbose": True, "device": "cpu"}.get(name, 7)
    assert of(**{name: other}) == of()


def test_every_other_setting_data_and_seed_count():
    whole = of()
    assert whole != of(MLPRegressor) and whole != of(seed=1)
    for name in settings_of(MLPClassifier):
        if name not in FREE | {"random_state"}:
            estimator = MLPClassifier()
            setattr(estimator, name, SimpleNamespace())
            estimator.seed_ = 0
            assert digest(estimator, {"inputs": torch.arange(6.0).reshape(3, 2)}) != whole, name
    same_bytes = torch.arange(6.0)
    assert whole != of(tensors={"inputs": same_bytes.reshape(2, 3)})
    assert whole != of(tensors={"weights": same_bytes.reshape(3, 2)})
    assert whole != of(tensors={"inputs": same_bytes.reshape(3, 2).view(torch.int32)})
    assert whole != of(tensors={"inputs": same_bytes.reshape(3, 2) + torch.tensor([[0, 0], [0, 0], [0, 1e-6]])})


def test_memory_layout_and_missing_values_do_not_matter():
    tensor = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
    turned = tensor.t().contiguous().t()
    assert not turned.is_contiguous()
    assert of(tensors={"inputs": tensor}) == of(tensors={"inputs": turned})


def test_a_fit_taken_up_with_other_data_or_settings_is_refused(tmp_path):
    X, y = data_for(MLPClassifier)
    settings = {"checkpoint": str(tmp_path), "checkpoint_every": 1}
    half = small(MLPClassifier, max_epochs=2, dropout=0.2, **settings).fit(X, y)
    assert half.n_steps_ == 8
    with pytest.raises(GradusError):
        small(MLPClassifier, dropout=0.3, **settings).fit(X, y)
    with pytest.raises(GradusError):
        small(MLPClassifier, dropout=0.2, **settings).fit(X + 1, y)
    whole = small(MLPClassifier, max_epochs=np.int64(4), dropout=0.2, **settings).fit(X, y)
    straight = small(MLPClassifier, max_epochs=4, dropout=0.2).fit(X, y)
    assert whole.n_steps_ == 16 and np.array_equal(weights_of(whole), weights_of(straight))
