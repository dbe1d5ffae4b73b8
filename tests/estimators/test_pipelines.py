"""Inside scikit-learn's machinery: pipelines, searches, calibration, votes, columns, weights routed through."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import BaggingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from estimators.cases import (
    CLASSIFIERS,
    ESTIMATORS,
    REGRESSORS,
    TABLES,
    answers_of,
    data_for,
    first_of,
    name_of,
    small,
    weights_of,
)
from gradus.core.errors import NonFiniteError, SettingError
from gradus.estimators.mlp import MLPClassifier

every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)
tables = pytest.mark.parametrize("cls", TABLES, ids=name_of)
TABLE_CLASSIFIERS = [cls for cls in CLASSIFIERS if cls in TABLES]
table_classifiers = pytest.mark.parametrize("cls", TABLE_CLASSIFIERS, ids=name_of)
table_regressors = pytest.mark.parametrize("cls", [c for c in REGRESSORS if c in TABLES], ids=name_of)


@table_classifiers
def test_a_pipeline_learns_and_scores(cls):
    X, y = load_wine(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    pipe = Pipeline([("scale", StandardScaler()), ("net", small(cls, max_epochs=20))]).fit(X, y)
    assert pipe.score(X_test, y_test) > 0.9
    direct = small(cls, max_epochs=20).fit(StandardScaler().fit(X).transform(X), y)
    assert np.array_equal(pipe.predict_proba(X_test), direct.predict_proba(pipe[0].transform(X_test)))


@tables
def test_frames_flow_through_a_pipeline(cls):
    X, y = data_for(cls)
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    pipe = make_pipeline(StandardScaler(), small(cls)).set_output(transform="pandas").fit(frame, y)
    assert pipe[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert pipe.predict(frame).shape == (50,)


@table_regressors
def test_columns_of_several_kinds(cls):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=120), "colour": rng.choice(["red", "green"], 120)})
    y = 3 * frame["size"] + 10 * (frame["colour"] == "red")
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["size"]), ("c", OneHotEncoder(sparse_output=False), ["colour"])]
    )
    pipe = make_pipeline(columns, small(cls, max_epochs=40)).fit(frame, y)
    assert pipe.score(frame, y) > 0.95


@every
def test_cross_validation_scores_each_fold(cls):
    X, y = data_for(cls)
    scores = cross_val_score(small(cls), X, y, cv=3, error_score="raise")
    assert scores.shape == (3,) and np.isfinite(scores).all()
    again = cross_val_score(small(cls), X, y, cv=3, error_score="raise")
    assert np.array_equal(scores, again)
    assert cross_val_predict(small(cls), X, y, cv=3).shape == (50,)


def test_a_search_over_two_processes_finds_what_one_finds():
    X, y = load_iris(return_X_y=True)
    estimators = [small(cls, max_epochs=5) for cls in TABLE_CLASSIFIERS]
    pipe = Pipeline([("scale", StandardScaler()), ("net", estimators[0])])
    grid = {"net__hidden": [(), (16,)], "net": estimators}
    alone, together = (
        GridSearchCV(pipe, grid, cv=StratifiedKFold(3), n_jobs=n, error_score="raise").fit(X, y) for n in (None, 2)
    )
    assert np.array_equal(alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
    assert alone.best_params_["net__hidden"] == together.best_params_["net__hidden"]
    assert together.best_score_ > 0.8
    assert np.array_equal(alone.predict_proba(X), together.predict_proba(X))


@tables
def test_settings_can_be_searched_by_name(cls):
    X, y = data_for(cls)
    search = RandomizedSearchCV(
        small(cls), {"learning_rate": [1e-4, 0.01], "dropout": [0.0, 0.2]}, n_iter=3, cv=2, random_state=0
    ).fit(X, y)
    assert set(search.best_params_) == {"learning_rate", "dropout"}
    assert search.best_estimator_.n_epochs_ == 4


@tables
def test_a_bad_setting_inside_a_search_is_told(cls):
    X, y = data_for(cls)
    with pytest.raises(SettingError, match="dropout"):
        GridSearchCV(small(cls), {"dropout": [2.0]}, cv=2, error_score="raise").fit(X, y)


@pytest.mark.slow
def test_an_error_crosses_the_border_of_a_process_with_its_words():
    cls = MLPClassifier
    X, y = data_for(cls)
    with pytest.raises(NonFiniteError, match="lower learning_rate") as caught:
        cross_val_score(small(cls, optimizer="sgd", learning_rate=1e30), X, y, cv=2, n_jobs=2, error_score="raise")
    assert caught.value.mend.startswith("lower learning_rate")


@first_of(TABLE_CLASSIFIERS)
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_probabilities_can_be_calibrated(cls, method):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    y = (X[:, 0] + rng.normal(scale=1.5, size=400) > 0).astype(int)
    wild = small(cls, max_epochs=60, hidden=(64,))  # sure of itself where it should not be
    calibrated = CalibratedClassifierCV(wild, method=method, cv=3).fit(X[:200], y[:200])
    before, after = (
        brier_score_loss(y[200:], m.predict_proba(X[200:])[:, 1])
        for m in (clone(wild).fit(X[:200], y[:200]), calibrated)
    )
    assert after < before - 0.02


@first_of(TABLE_CLASSIFIERS)
def test_it_votes_beside_others_and_bags(cls):
    X, y = load_iris(return_X_y=True)
    members = [("net", small(cls, max_epochs=10)), ("linear", make_pipeline(StandardScaler(), LogisticRegression()))]
    vote = VotingClassifier(members, voting="soft").fit(X, y)
    mean = (vote.estimators_[0].predict_proba(X) + vote.estimators_[1].predict_proba(X)) / 2
    assert np.allclose(vote.predict_proba(X), mean, atol=1e-6) and vote.score(X, y) > 0.9
    bag = BaggingClassifier(small(cls, max_epochs=10), n_estimators=2, random_state=0).fit(X, y)
    assert bag.score(X, y) > 0.85 and log_loss(y, bag.predict_proba(X)) < 0.6


@table_regressors
def test_regressors_stack_vote_and_transform_targets(cls):
    X, y = data_for(cls)
    net = small(cls, max_epochs=20)
    members = [("net", net), ("ridge", Ridge())]
    vote = VotingRegressor(members).fit(X, y)
    assert np.allclose(vote.predict(X), (vote.estimators_[0].predict(X) + vote.estimators_[1].predict(X)) / 2)
    assert StackingRegressor(members, cv=2).fit(X, y).score(X, y) > 0.8
    logs = TransformedTargetRegressor(net, func=np.log, inverse_func=np.exp).fit(X, y)
    assert np.allclose(np.log(logs.predict(X)), clone(net).fit(X, np.log(y)).predict(X), rtol=1e-5)
    assert MultiOutputRegressor(net).fit(X, np.column_stack([y, -y])).predict(X).shape == (50, 2)


@first_of(TABLES)
def test_features_can_be_judged_from_outside(cls):
    X, y = data_for(cls, n=100)
    model = small(cls, max_epochs=40).fit(X, y)
    importance = permutation_importance(model, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance.argmax() == 0  # the column the targets were made from
    chosen = SequentialFeatureSelector(small(cls, max_epochs=15), n_features_to_select=1, cv=2).fit(X, y)
    assert chosen.get_support()[0]


# -- weights routed through ---------------------------------------------------------------------------------------


@tables
def test_weights_are_routed_through_a_pipeline(cls):
    X, y = data_for(cls)
    weights = np.random.default_rng(0).integers(0, 3, 50).astype(float)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        net = small(cls).set_fit_request(sample_weight=True)
        pipe = make_pipeline(scaler, net).fit(X, y, sample_weight=weights)
    scaled = StandardScaler().fit_transform(X)
    assert np.array_equal(weights_of(pipe[-1]), weights_of(small(cls).fit(scaled, y, sample_weight=weights)))
    assert not np.array_equal(weights_of(pipe[-1]), weights_of(small(cls).fit(scaled, y)))


@every
def test_weights_are_routed_through_cross_validation(cls):
    X, y = data_for(cls)
    weights = np.random.default_rng(0).integers(1, 9, 50).astype(float)
    with config_context(enable_metadata_routing=True):
        net = small(cls).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found = cross_validate(
            net, X, y, cv=3, params={"sample_weight": weights}, return_estimator=True, return_indices=True
        )
        for model, train, test, score in zip(
            found["estimator"], found["indices"]["train"], found["indices"]["test"], found["test_score"], strict=True
        ):
            direct = small(cls).fit(X[train], y[train], sample_weight=weights[train])
            assert np.array_equal(weights_of(model), weights_of(direct))
            assert score == pytest.approx(direct.score(X[test], y[test], sample_weight=weights[test]))


@every
def test_validation_data_are_routed(cls):
    X, y = data_for(cls)
    with config_context(enable_metadata_routing=True):
        pipe = Pipeline([("net", small(cls).set_fit_request(X_val=True, y_val=True))])
        pipe.fit(X, y, X_val=X[:20], y_val=y[:20])
    direct = small(cls).fit(X, y, X_val=X[:20], y_val=y[:20])
    assert [row["valid_loss"] for row in pipe[-1].history_] == [row["valid_loss"] for row in direct.history_]
    assert np.array_equal(answers_of(pipe[-1], X), answers_of(direct, X))
