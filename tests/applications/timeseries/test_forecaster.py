"""The forecaster as an estimator: what it learns, what it keeps, and that a killed fit ends in the same bits."""

import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

import forks
from gradus.applications.timeseries import Forecaster, NaiveForecaster, backtest
from gradus.core.errors import InputError, SettingError
from gradus.networks.heads import QuantileDistribution
from gradus.training.checkpoints import CheckpointStore

QUICK = {"horizon": 4, "season": 6, "lookback": 12, "width": 8, "max_steps": 30, "random_state": 0, "n_threads": 1}


def waves(n=150, noise=0.3, seed=0):
    t, rng = np.arange(n), np.random.default_rng(seed)
    return 20 + 5 * np.sin(2 * np.pi * t / 6) + noise * rng.normal(size=n)


def weights(model):
    return torch.cat([v.double().flatten() for v in model.network_.state_dict().values()])


# -- learning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", ["mlp", pytest.param("lstm", marks=pytest.mark.slow), pytest.param("tcn", marks=pytest.mark.slow)]
)
def test_a_noisy_season_is_forecast_within_its_noise(body):
    settings = {**QUICK, "width": 32, "max_steps": 300, "lookback": 24}
    found = backtest(Forecaster(body=body, **settings), waves(500), origins=40)
    naive = backtest(NaiveForecaster(season=6, horizon=4), waves(500), origins=40)
    # The naive forecast errs by the noise of two values; one that knew the wave by that of one: 0.71 times as much.
    assert found.value("mae") < 0.9 * naive.value("mae")
    assert found.value("mae") == pytest.approx(0.3 * np.sqrt(2 / np.pi), rel=0.25)


def test_quantiles_hold_the_share_they_say():
    found = backtest(
        Forecaster(**{**QUICK, "width": 32, "max_steps": 200}), waves(700, noise=1.0), origins=40, interval=0.8
    )
    # 160 values, each inside with 0.8 if calibrated: a deviation of 0.03, and as much for a fit to 500 values
    assert 0.65 < found.value("coverage") < 0.93


def test_the_calendar_is_learned_where_there_are_dates():
    """Sundays are closed; which day of the window comes next tells the rest."""
    stamps = pd.date_range("2022-01-01", periods=420)
    rng = np.random.default_rng(0)
    values = np.where(stamps.day_of_week == 6, 0.0, 10.0) + rng.normal(0, 1, 420)
    settings = {**QUICK, "season": None, "lookback": 3, "max_steps": 150, "width": 32, "horizon": 7, "retrain": "none"}
    series = pd.Series(values, stamps)
    known = backtest(Forecaster(**settings), series, origins=6)
    blind = backtest(Forecaster(calendar=False, **settings), series, origins=6)
    assert known.value("mae") < 1.3 < blind.value("mae")


def test_many_series_of_any_scale_are_learned_by_one_network():
    table = np.c_[waves(seed=1), 1e6 * waves(seed=2), -waves(seed=3) / 1e4 + 50]
    model = Forecaster(**{**QUICK, "max_steps": 200, "width": 32}).fit(table)
    scaled = (model.predict() - [0, 0, 50]) / [1, 1e6, -1e-4]
    truth = 20 + 5 * np.sin(2 * np.pi * np.arange(150, 154) / 6)
    assert np.abs(scaled - truth[:, None]).max() < 1.5
    # a series that was not fitted: another level, another unit
    new = model.predict(series=300 * waves(seed=7) - 9000)
    assert np.abs((new + 9000) / 300 - truth).max() < 1.5


def test_level_and_unit_pass_through_a_fit():
    one = Forecaster(**QUICK).fit(waves())
    two = Forecaster(**QUICK).fit(1000 * waves() + 5000)
    np.testing.assert_allclose((two.predict_quantiles() - 5000) / 1000, one.predict_quantiles(), atol=0.01)
    high = Forecaster(**QUICK).fit(waves() + 1e9)  # single precision alone would know it to 64
    np.testing.assert_allclose(high.predict() - 1e9, one.predict(), atol=0.01)


def test_constant_series_are_forecast_constant():
    model = Forecaster(**QUICK).fit(np.full(60, 4.0))
    assert np.abs(model.predict() - 4).max() < 1.0 and np.isfinite(model.sample(5, random_state=0)).all()


def test_gaps_are_read_but_not_learned():
    days = pd.date_range("2024-01-01", periods=150)
    holed = pd.Series(waves(), days)
    holed.iloc[[50, 51, 90]] = np.nan
    with pytest.raises(InputError, match="3 gaps"):
        Forecaster(**QUICK).fit(holed)
    model = Forecaster(gaps="fill", **QUICK).fit(holed)
    assert "gaps in series (3)" in model.notes_[0] and np.isfinite(model.predict()).all()


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["quantile", "gaussian"])
def test_answers_agree_with_each_other(head):
    model = Forecaster(head=head, **QUICK).fit(waves())
    ahead = model.predict_distribution()
    assert ahead.batch_shape == (4,) and (isinstance(ahead, QuantileDistribution) == (head == "quantile"))
    quantiles = model.predict_quantiles((0.1, 0.5, 0.77))
    assert (np.diff(quantiles, axis=1) > 0).all()
    for j, level in enumerate((0.1, 0.5, 0.77)):
        np.testing.assert_allclose(ahead.cdf(torch.from_numpy(quantiles[:, j])).numpy(), level, atol=1e-6)
    assert np.array_equal(model.predict(), quantiles[:, 1])
    assert np.array_equal(model.predict(2), model.predict()[:2])
    assert np.array_equal(model.predict(), model.predict(series=waves()))
    paths = model.sample(20_000, random_state=0)
    levels = ahead.cdf(torch.from_numpy(paths)).numpy()
    assert np.abs((levels < 0.3).mean(0) - 0.3).max() < 6 * np.sqrt(0.21 / 20_000)  # each step by itself


def test_paths_of_a_walk_hang_together_and_those_of_noise_do_not():
    rng, settings = np.random.default_rng(0), {**QUICK, "season": 1, "max_steps": 100, "width": 16}
    walk = Forecaster(**settings).fit(rng.normal(size=600).cumsum())
    noise = Forecaster(**settings).fit(rng.normal(size=600))
    between = [np.corrcoef(m.sample(4000, random_state=0).T) for m in (walk, noise)]
    assert between[0][2, 3] > 0.7  # the exact one is sqrt(3/4)
    assert abs(between[1][2, 3]) < 0.25


def test_an_answer_does_not_depend_on_the_series_it_comes_with():
    table = np.c_[waves(seed=1), waves(seed=2) * 3, waves(seed=3)]
    model = Forecaster(**QUICK).fit(table)
    np.testing.assert_allclose(model.predict(series=table[:, 1]), model.predict()[:, 1], rtol=1e-12)


def test_what_was_not_fitted_is_refused():
    model = Forecaster(**QUICK).fit(waves())
    with pytest.raises(InputError, match="at most 4 steps, as fitted"):
        model.predict(5)
    with pytest.raises(InputError, match="12 values or more, which the network reads"):
        model.predict(series=waves(11))
    with pytest.raises(InputError, match="17 values or more"):
        Forecaster(**QUICK).fit(waves(16))
    with pytest.raises(SettingError, match="retrain"):
        Forecaster(retrain="continue", **QUICK).fit(waves())
    with pytest.raises(InputError, match="early_stopping holds out"):
        Forecaster(early_stopping=True, **QUICK).fit(waves(18))


def test_windows_shrink_to_what_a_short_history_allows():
    model = Forecaster(horizon=4, season=12, max_steps=3, random_state=0).fit(waves(24))
    assert model.lookback_ == 2 * (24 - 4) // 3 and len(model.predict()) == 4
    roomy = Forecaster(horizon=4, season=12, max_steps=3, random_state=0).fit(waves(150))
    assert roomy.lookback_ == 24


# -- as an estimator ---------------------------------------------------------------------------------------------------


def test_one_seed_gives_the_same_bits_and_another_seed_others():
    first, again = (Forecaster(**QUICK).fit(waves()) for _ in range(2))
    other = Forecaster(**{**QUICK, "random_state": 1}).fit(waves())
    assert torch.equal(weights(first), weights(again)) and np.array_equal(first.copula_, again.copula_)
    assert not torch.equal(weights(first), weights(other))


def test_a_fit_leaves_the_generators_and_the_copy_clean():
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    model = Forecaster(**QUICK).fit(waves())
    assert torch.equal(state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert not hasattr(clone(model), "network_")


@pytest.mark.parametrize("body", ["mlp", "lstm", "tcn"])
def test_a_saved_forecaster_answers_alike(body, tmp_path):
    frame = pd.DataFrame({"a": waves(), "b": waves(seed=4)}, index=pd.date_range("2024-01-01", periods=150))
    model = Forecaster(body=body, **QUICK).fit(frame)
    again = Forecaster.load(model.save(tmp_path / "model"))
    pd.testing.assert_frame_equal(again.forecast(), model.forecast(), check_exact=True)
    assert np.array_equal(again.sample(3, random_state=0), model.sample(3, random_state=0))
    assert again.score(frame) == model.score(frame)
    set_later = model.set_params(body="lstm", width=99, head="gaussian", horizon=2)  # what was built counts
    assert np.array_equal(set_later.predict(), again.predict()[:2])
    assert np.array_equal(Forecaster.load(set_later.save(tmp_path / "later")).predict(4), again.predict())


def test_early_stopping_watches_the_end_and_retraining_learns_it():
    told = []
    model = Forecaster(**{**QUICK, "max_steps": None, "max_epochs": 6, "patience": 2})
    model.fit(waves(), callbacks=[lambda trainer, event: told.append((trainer.step, event))])
    assert {"valid_loss", "valid_score", "loss"} <= model.history_[0].keys()
    assert sum(event == "start" for _, event in told) == 2  # once to find the epochs, once on everything
    assert model.n_steps_ == (model.best_epoch_ + 1) * -(-(150 - 12 - 4 + 1) // 64)
    alone = Forecaster(early_stopping=False, **QUICK).fit(waves())
    assert "valid_loss" not in alone.history_[0] and alone.best_epoch_ is None
    once = Forecaster(**{**QUICK, "retrain": "none"}).fit(waves())
    assert not torch.equal(weights(once), weights(Forecaster(**QUICK).fit(waves())))


def test_a_warm_start_goes_on_from_the_weights():
    model = Forecaster(warm_start=True, early_stopping=False, **{**QUICK, "max_steps": 5}).fit(waves())
    before = weights(model).clone()
    model.fit(waves())
    moved = (weights(model) - before).abs().max()
    fresh = weights(Forecaster(early_stopping=False, **{**QUICK, "max_steps": 5, "random_state": 9}).fit(waves()))
    assert 0 < moved < (fresh - before).abs().max()


# -- kill and resume ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return checkpointed(tmp_path_factory.mktemp("whole")).fit(waves())


def checkpointed(folder, **more):
    settings = {**QUICK, "max_steps": 40, "dropout": 0.2, "checkpoint": str(folder), "checkpoint_every": 5}
    return Forecaster(**{**settings, **more})


class Stop(Exception):
    pass


@pytest.mark.parametrize("life", [6, 17, "retrain"])
def test_an_interrupted_fit_ends_in_the_same_bits(life, whole, tmp_path):
    starts = []

    def crash(trainer, event):
        starts.append(event == "start")
        phase = sum(starts)
        if event == "tick" and ((phase == 2 and life == "retrain") or (life != "retrain" and trainer.step >= life)):
            raise Stop

    with pytest.raises(Stop):
        checkpointed(tmp_path / "cut").fit(waves(), callbacks=[crash])
    resumed = []
    again = checkpointed(tmp_path / "cut").fit(
        waves(), callbacks=[lambda t, e: resumed.append(t.resumed_from) if e == "start" else None]
    )
    assert any(resumed)
    assert torch.equal(weights(whole), weights(again)) and np.array_equal(whole.copula_, again.copula_)
    assert np.array_equal(whole.predict_quantiles(), again.predict_quantiles())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_killed_fit_ends_in_the_same_bits(whole, tmp_path):
    reading, writing = os.pipe()

    def work():
        def tell(trainer, event):
            if trainer.step >= 10:
                os.write(writing, b".")

        checkpointed(tmp_path / "cut").fit(waves(), callbacks=[tell])

    pid = forks.start(work)
    os.read(reading, 1)
    assert forks.kill(pid) in (-signal.SIGKILL, 0)
    os.close(reading), os.close(writing)
    assert CheckpointStore(tmp_path / "cut" / "main").steps()
    again = checkpointed(tmp_path / "cut").fit(waves())
    assert torch.equal(weights(whole), weights(again))


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    checkpointed(tmp_path).fit(waves())
    other = waves()
    other[80] += 1e-3  # one value, in the middle
    with pytest.raises(SettingError, match="the same data and settings"):
        checkpointed(tmp_path).fit(other)
