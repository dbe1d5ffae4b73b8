"""Every public estimator, small settings for it, and data of its kind."""

from importlib import import_module

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags

from gradus.catalog import PUBLIC
from gradus.core.options import settings_of
from gradus.estimators.base import Estimator
from gradus.estimators.supervised import SupervisedEstimator

SMALL = {
    "hidden": (16,),
    "channels": (4,),
    "features": 8,
    "max_epochs": 4,
    "batch_size": 16,
    "learning_rate": 0.01,
    "random_state": 0,
}


def _found():
    classes = [getattr(import_module(module), name) for name, module in PUBLIC.items()]
    return [cls for cls in classes if isinstance(cls, type) and issubclass(cls, Estimator)]


def _takes_arrays(cls):
    """Whether tables or images go in and one answer a row comes out; texts and series have tests of their own."""
    tags = get_tags(cls()).input_tags
    supervised = is_classifier(cls()) or is_regressor(cls())
    return (
        supervised
        and issubclass(cls, SupervisedEstimator)
        and (tags.two_d_array or tags.three_d_array)
        and ".timeseries." not in cls.__module__
    )


ESTIMATORS = [cls for cls in _found() if _takes_arrays(cls)]
CLASSIFIERS = [cls for cls in ESTIMATORS if is_classifier(cls())]
REGRESSORS = [cls for cls in ESTIMATORS if not is_classifier(cls())]
TABLES = [cls for cls in ESTIMATORS if get_tags(cls()).input_tags.two_d_array]


def name_of(value):
    return value.__name__ if isinstance(value, type) else str(value)


def first_of(classes):
    """Parametrize a long test: the first class always, its sisters, which share the code, with the slow tests."""
    rest = [pytest.param(cls, marks=pytest.mark.slow) for cls in classes[1:]]
    return pytest.mark.parametrize("cls", [classes[0], *rest], ids=name_of)


def small(cls, **settings):
    """Return an unfitted estimator that trains in a moment."""
    return cls(**{name: value for name, value in SMALL.items() if name in settings_of(cls)} | settings)


def inputs_for(cls, n=50, seed=0):
    """Return whole numbers of many values, as float64: exact in every type that the tests pass."""
    rng = np.random.default_rng(seed)
    if cls in TABLES:
        return rng.integers(-100, 100, (n, 4)).astype(np.float64)
    return rng.integers(0, 17, (n, 8, 8)).astype(np.float64)


def data_for(cls, n=50, seed=0):
    """Return inputs and targets that depend on them: three named classes, or numbers around fifty."""
    X = inputs_for(cls, n, seed)
    flat = X.reshape(n, -1)
    if cls in CLASSIFIERS:
        cuts = np.quantile(flat[:, 0], [1 / 3, 2 / 3])
        return X, np.array(["low", "mid", "top"])[np.digitize(flat[:, 0], cuts)]
    return X, np.round(50 + flat[:, 0] / 5 - flat[:, 1] / 10)


def weights_of(estimator):
    """Return the fitted network's parameters and buffers as one vector."""
    return np.concatenate([v.double().numpy().ravel() for v in estimator.network_.state_dict().values()])


def answers_of(estimator, X):
    """Return predictions, and probabilities where there are classes, as floats that can be compared."""
    if is_classifier(estimator):
        return estimator.predict_proba(X)
    return estimator.predict(X)


def learned_names(estimator):
    return {name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")}
