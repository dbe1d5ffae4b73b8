"""Reading series: steps, gaps, labels, and what bad input gets."""

import numpy as np
import pandas as pd
import pytest

from gradus.applications.timeseries import looks_like_series, read_series
from gradus.applications.timeseries.calendar import calendar_features, calendar_parts, season_of
from gradus.applications.timeseries.grids import step_of
from gradus.applications.timeseries.recognition import layout_of
from gradus.applications.timeseries.series import SeriesSet
from gradus.core.errors import InputError, SettingError

STEPS = ["h", "30min", "D", "B", "W-WED", "MS", "ME", "QS-JAN", "QE-DEC", "YS-JAN"]


@pytest.mark.parametrize("step", STEPS)
def test_the_step_is_found_although_stamps_are_missing(step):
    whole = pd.date_range("2020-01-01", periods=60, freq=step)
    assert pd.tseries.frequencies.to_offset(step_of(whole)) == pd.tseries.frequencies.to_offset(step)
    holed = whole.delete([7, 20, 21, 40])
    found = read_series(pd.Series(np.arange(56.0), holed), gaps="fill")
    assert season_of(found.step) == season_of(step) and calendar_parts(found.step) == calendar_parts(step)
    assert found.labels(0).equals(whole.as_unit(found.labels(0).unit))
    assert np.flatnonzero(~found.observed[0]).tolist() == [7, 20, 21, 40]
    assert found.values[0][[6, 7, 8]].tolist() == [6, 6, 7]  # the last value before, never one after
    assert found.values[0][[19, 20, 21, 22]].tolist() == [18, 18, 18, 19]


def test_labels_go_on_after_the_end():
    monthly = read_series(pd.Series([1.0, 2, 3], pd.DatetimeIndex(["2023-11-30", "2023-12-31", "2024-01-31"])))
    assert monthly.labels(0, 2)[-2:].strftime("%Y-%m-%d").tolist() == ["2024-02-29", "2024-03-31"]
    years = read_series(pd.Series([1.0, 2, 3], [1871.0, 1872.0, 1873.0]))
    assert years.labels(0, 2)[-2:].tolist() == [1874, 1875]
    assert read_series([1.0, 2.0]).labels(0, 1).tolist() == [0, 1, 2]


def test_forms_of_input_agree():
    stamps = pd.date_range("2024-03-01", periods=5)
    wide = pd.DataFrame({"when": stamps.strftime("%Y-%m-%d"), "a": [1.0, 2, 3, 4, 5], "b": [5.0, 4, 3, 2, 1]})
    long = wide.melt(id_vars="when", var_name="shop", value_name="sold").sample(frac=1, random_state=0)
    forms = [
        read_series(wide),
        read_series(wide.set_index(stamps).drop(columns="when")),
        read_series(wide.set_index(stamps.to_period("D")).drop(columns="when")),
        read_series(long, by="shop"),
        read_series(wide, time="when", target=["a", "b"]),
    ]
    for found in forms:
        assert found.names == ("a", "b") and found.step == "D" and not found.flat
        assert [v.tolist() for v in found.values] == [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]
        assert found.starts == (stamps[0], stamps[0])
    array = read_series(wide[["a", "b"]].to_numpy())
    assert [v.tolist() for v in array.values] == [v.tolist() for v in forms[0].values]
    ragged = read_series([np.arange(3.0), np.arange(5.0)])
    assert ragged.lengths == [3, 5] and not ragged.flat
    assert read_series(wide["a"]).flat and read_series(wide, target="a").flat and read_series([1.0, 2.0]).flat


def test_a_long_frame_may_begin_and_end_at_different_times():
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-02", "2024-01-03"]),
            "shop": list("aaabb"),
            "sold": [1.0, 2, 3, 8, 9],
        }
    )
    found = read_series(frame, by="shop")
    assert found.starts == (pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")) and found.lengths == [3, 2]


def test_what_is_missing_at_the_ends_is_cut_off():
    days = pd.date_range("2024-01-01", periods=6)
    found = read_series(pd.Series([np.nan, 1, np.nan, 3, 4, np.nan], days), gaps="fill")
    assert found.starts == (days[1],) and found.values[0].tolist() == [1, 1, 3, 4]
    assert found.observed[0].tolist() == [True, False, True, True]
    assert "gaps in series: filled" in str(found.notes[0])


def test_a_zone_is_read_as_universal_time():
    local = pd.date_range("2024-03-31", periods=48, freq="h", tz="Europe/Rome")  # with a change of clocks
    found = read_series(pd.Series(np.arange(48.0), local))
    assert found.step == "h" and found.starts[0] == pd.Timestamp("2024-03-30 23:00") and found.lengths == [48]


def test_history_before_an_origin_and_storage():
    found = read_series([np.arange(5.0), np.arange(9.0)])
    assert found.without_last(3).lengths == [2, 6]
    with pytest.raises(InputError, match="more than 5 values"):
        found.without_last(5)
    dated = read_series(pd.Series([1.0, 2, 4], pd.date_range("2024-01-01", periods=3, freq="h"), name="x"))
    again = SeriesSet.from_plain(dated.to_plain())
    assert again.labels(0).equals(dated.labels(0)) and again.names == ("x",) and again.flat


DAYS = pd.date_range("2024-01-01", periods=4)


@pytest.mark.parametrize(
    ("data", "more", "words"),
    [
        (pd.Series([1.0, np.nan, 3, 4], DAYS), {}, "1 gaps, the first at 2024-01-02.*set gaps='fill'"),
        (pd.Series([1.0, 2, 3], DAYS.delete(1)), {}, "1 gaps, the first at 2024-01-02"),
        (pd.Series([1.0, 2, 3, 4], DAYS[[0, 1, 1, 2]]), {}, "one value a stamp.*several at 2024-01-02"),
        (pd.Series([1.0] * 3, pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2024-01-03 07:00"])), {}, "between two"),
        (pd.Series([1.0, 2], ["x", "y"]), {}, "dates or numbers as labels"),
        (pd.DataFrame({"word": ["a", "b"]}), {}, "a column of numbers"),
        (pd.DataFrame({"a": DAYS, "b": DAYS, "c": 1.0}), {}, "one column of dates.*a, b"),
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), {"target": "bb"}, "did you mean 'b'"),
        (np.zeros((2, 2, 2)), {}, r"\(time,\) or \(time, series\)"),
        (["a", "b"], {}, "series of numbers"),
        ([1.0, np.inf, 2.0], {"gaps": "refuse"}, "a value at every step"),
        ([1.0, 1e200, 2.0], {}, "numbers up to 1e\\+100"),
        ([np.nan, np.nan], {"gaps": "fill"}, "none; check the column"),
        ([1.0], {}, "two values or more"),
        ([1.0, 2.0], {"time": "day"}, "a frame where columns are named"),
    ],
)
def test_bad_input_gets_a_sentence(data, more, words):
    with pytest.raises(InputError, match=words):
        read_series(data, **more)


def test_a_wrong_word_for_gaps_is_refused():
    with pytest.raises(SettingError, match="did you mean 'fill'"):
        read_series([1.0, 2.0], gaps="fil")


# -- calendar ----------------------------------------------------------------------------------------------------------


def test_calendar_features_come_back_after_a_day_a_week_a_year():
    hours = pd.date_range("2023-01-01", "2026-12-31 23:00", freq="h")
    features = calendar_features(hours, ("hour",))
    np.testing.assert_allclose(features[:24], features[24 * 500 : 24 * 501], atol=1e-5)
    assert len(np.unique(features[:24].round(4), axis=0)) == 24
    days = pd.date_range("2023-01-01", periods=1200)
    weekday = calendar_features(days, ("weekday",))
    np.testing.assert_allclose(weekday[:7], weekday[700:707], atol=1e-5)
    assert np.linalg.matrix_rank(np.c_[weekday[:7], np.ones(7)]) == 7  # any weekly pattern is linear in them
    year = calendar_features(days, ("year",))
    np.testing.assert_allclose(year[:31], year[365 + 366 :][:31], atol=1e-5)  # January 2023 and, after 2024, 2025
    assert np.abs(year[0] - year[364]).max() < 0.05 < np.abs(year[0] - year[180]).max()  # December is beside January
    assert np.abs(features).max() <= 1.0 and calendar_features(days, ()).shape == (1200, 0)


def test_no_part_of_the_calendar_for_steps_without_one():
    assert calendar_parts("W-SUN") == ("year",) and calendar_parts(1.0) == ()
    assert season_of("2D") == 1 and season_of("3h") == 8 and season_of("2MS") == 6 and season_of("B") == 5


# -- recognition -------------------------------------------------------------------------------------------------------


def test_series_are_recognised_and_rows_of_events_are_not():
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=100)
    assert looks_like_series(pd.DataFrame({"day": days, "sold": rng.normal(size=100)})) is not None
    assert looks_like_series(pd.DataFrame({"sold": rng.normal(size=100)}, index=days)) is not None
    gappy = pd.DataFrame({"day": days, "sold": rng.normal(size=100)}).drop(index=[5, 9, 30])
    assert layout_of(gappy)[:2] == ("day", ("sold",))
    long = pd.DataFrame({"day": np.tile(days, 3), "shop": np.repeat(list("abc"), 100), "sold": rng.normal(size=300)})
    assert layout_of(long).by == "shop" and "3 different values of 'shop'" in looks_like_series(long)
    events = pd.DataFrame({"when": rng.choice(days, 300), "shop": rng.choice(list("abc"), 300), "sum": 1.5})
    events["sum"] = rng.normal(size=300)
    assert looks_like_series(events) is None
    customers = pd.DataFrame({"joined": pd.to_datetime("2015-01-01") + pd.to_timedelta(
        np.sort(rng.choice(3000, 100, replace=False)), "D"), "spent": rng.normal(size=100)})  # fmt: skip
    assert looks_like_series(customers) is None
    assert looks_like_series(pd.DataFrame({"x": rng.normal(size=100), "y": rng.normal(size=100)})) is None
    assert looks_like_series(pd.DataFrame({"day": days[:10], "sold": 1.0 * np.arange(10)})) is None  # too short to say


@pytest.mark.data
def test_real_series_are_recognised(data_home):
    home = data_home / "timeseries"
    assert layout_of(pd.read_csv(home / "co2.csv.gz")).step == "W-SAT"
    nile = layout_of(pd.read_csv(home / "nile.csv.gz"))
    assert (nile.time, nile.targets, nile.step, nile.n_steps) == ("year", ("volume",), 1.0, 100)
    diseases = pd.read_csv(home / "us_contagious_diseases.csv.gz")
    measles = diseases[diseases["disease"] == "Measles"].drop(columns="disease")
    assert layout_of(measles)[:3] == ("year", ("weeks_reporting", "count", "population"), "state")
