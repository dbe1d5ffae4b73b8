"""Types inferred for columns, on made ones with known answers and on real tables."""

import numpy as np
import pandas as pd
import pytest

from gradus.core.errors import InputError
from gradus.data.columns import are_codes, date_format, infer_columns, looks_like_classes, parse_dates
from gradus.data.reading import read

N = 60
COLUMNS = {
    "number": {
        "float": np.linspace(0, 1, N),
        "integer": np.arange(N) * 7 % 50,
        "text of numbers": [f" {i}.5" for i in range(N)],
        "year": np.arange(1900, 1900 + N),
        "padded decimals": [f"{i:04}.50" for i in range(N)],
        "zeros and ones and twos as text": ["0", "1", "2"] * (N // 3),
        "with missing": [None, *range(2, N + 1)],
    },
    "category": {
        "words": ["red", "blue"] * (N // 2),
        "thousands separators": ["1,200", "3,400", "5,600"] * (N // 3),
        "codes of digits": ["01067", "80331", "04103", "20095"] * (N // 4),
        "codes with gaps": ["007", None, "12"] * (N // 3),
        "units": ["12 kg", "15 kg", "9 kg"] * (N // 3),
        "two ambiguous orders of a date": ["03/04/2024", "05/06/2024"] * (N // 2),
        "dates too few": ["2024-01-01", "soon"] * (N // 2),
    },
    "date": {
        "iso": [f"2024-02-{d:02}" for d in range(1, 29)] * 2 + ["2024-03-01"] * 4,
        "iso with time": [f"2024-02-{d:02}T12:30:00" for d in range(1, 29)] * 2 + ["2024-03-01T00:00:00"] * 4,
        "unambiguous day first": [f"{d:02}/02/2024" for d in range(1, 29)] * 2 + ["30/03/2024"] * 4,
        "datetime64": pd.date_range("2024-01-01", periods=N),
        "three in sixty wrong": ["2024-01-02", "2024-05-06", "2023-01-01"] * 19 + ["n", "m", "k"],
    },
    "boolean": {
        "bool": [True, False] * (N // 2),
        "bool with missing": [True, False, None] * (N // 3),
        "yes or no": ["Yes", "No"] * (N // 2),
        "zero or one": [0, 1] * (N // 2),
    },
    "text": {"sentences": [f"the quick brown fox {i} jumped over it" for i in range(N)]},
    "identifier": {
        "customer_id": np.arange(N) * 3 + 1000,
        "rows": np.arange(N),
        "codes": [f"a{i:04}f" for i in range(N)],
        "numbers of digits": [f"{i:05}" for i in range(N)],
    },
    "constant": {"one": ["x"] * N},
    "empty": {"none": [None] * N},
}


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, names in COLUMNS.items() for n in names])
def test_a_column_is_taken_for(kind, name):
    (column,) = infer_columns(pd.DataFrame({name: COLUMNS[kind][name]}))
    assert column.kind == kind, column
    assert column.why


def test_missing_and_different_values_are_counted():
    (column,) = infer_columns(pd.DataFrame({"a": ["x", None, "y", "x", np.nan]}))
    assert (column.n_missing, column.n_unique) == (2, 2)


def test_inference_leaves_the_frame_alone():
    f = pd.DataFrame({"a": ["1", "2"], "d": ["2024-01-01", "2024-01-02"]})
    before = f.copy(deep=True)
    infer_columns(f)
    pd.testing.assert_frame_equal(f, before)


def test_dates_are_parsed_to_the_instants_they_name():
    got = parse_dates(pd.Series(["2024-02-28T23:30:00+0100", "2024-02-29T00:30:00-0500"]))
    assert got.tolist() == [pd.Timestamp("2024-02-28 22:30"), pd.Timestamp("2024-02-29 05:30")]
    got = parse_dates(pd.Series(["13/02/2024", "01/03/2024", None]))
    assert got[0] == pd.Timestamp("2024-02-13") and got[1] == pd.Timestamp("2024-03-01") and pd.isna(got[2])
    with pytest.raises(InputError, match="dates"):
        parse_dates(pd.Series(["red", "blue"]))


def test_a_format_fits_the_whole_column_and_not_its_sample_alone():
    values = ["2024-01-01"] * 10 + ["x"] * 10
    assert date_format(pd.Series(values)) is None


@pytest.mark.parametrize(
    ("y", "answer"),
    [
        (["a", "b"], True),
        ([True, False], True),
        ([0, 1, 2] * 10, True),
        ([1.0, 2.0] * 10, True),
        (np.linspace(0, 3, 30), False),
        (np.arange(30), False),
        ([3, 500, 20, 90, 7, 60, 8, 9, 10, 11, 12] * 10, False),
        (pd.Series(["a", None, "b"]), True),
    ],
)
def test_targets_look_like_classes(y, answer):
    assert looks_like_classes(y) is answer


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        (["01", "2"], True),
        ([" 01 ", None], True),
        (["00", "00"], True),
        (["0", "10", "200"], False),
        (["01.5", "02.5"], False),
        (["01", "2.5"], False),
        (["-01", "2"], False),
        (["01", "x"], False),
        ([1, 2], False),
        (["01", 2], False),
        ([None, None], False),
        ([], False),
        (pd.Series(["01", "02"], dtype="category"), True),
        (pd.to_datetime(["2024-01-02"]), False),
    ],
)
def test_codes_are_digits_of_which_some_begin_with_zero(values, answer):
    assert are_codes(values) is answer


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("penguins", {"island": "category", "sex": "category", "bill_length_mm": "number", "year": None}),
        ("mlc_churn", {"state": "category", "international_plan": "boolean", "total_day_minutes": "number"}),
        ("credit_data", {"Home": "category", "Records": "boolean", "Income": "number"}),
        ("BreastCancer", {"Id": "identifier", "Bare.nuclei": "number"}),
        ("ames", {"Neighborhood": "category", "Lot_Area": "number", "Year_Built": "number"}),
    ],
)
def test_real_tables_are_inferred_as_a_reader_would(data_home, file, kinds):
    data = read(data_home / "tabular" / f"{file}.csv.gz")
    found = {c.name: c.kind for c in infer_columns(data.X)}
    for name, kind in kinds.items():
        if kind is not None:
            assert found[name] == kind, (name, found[name])
