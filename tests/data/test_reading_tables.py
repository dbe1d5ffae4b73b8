"""Tables in every format are read alike, and what was guessed, dropped or changed is said."""

import bz2
import gzip
import json
import lzma

import numpy as np
import pandas as pd
import pytest

from gradus.core.errors import DataError
from gradus.data.columns import infer_columns
from gradus.data.delimited import sniff
from gradus.data.frames import as_text
from gradus.data.reading import read

FRAME = pd.DataFrame(
    {
        "height": [1.5, 1.25, np.nan, 1.0, 2.0, 1.75],
        "town": ["Köln", "Paris, FR", "Lyon", "", 'a "b"', "Lyon"],
        "n": [1, 2, 3, 4, 5, 6],
        "sold": ["yes", "no", "no", "yes", "yes", "no"],
    }
)


def notes_of(data):
    return " | ".join(map(str, data.notes))


@pytest.fixture(
    params=[
        "a.csv",
        "a.tsv",
        "b.txt",
        "a.csv.gz",
        "a.csv.bz2",
        "a.csv.xz",
        "a.parquet",
        "a.jsonl",
        "a.ndjson.gz",
    ]
)
def file(request, tmp_path):
    folder = tmp_path / "Eigene Dateien – été"
    folder.mkdir()
    path = folder / request.param
    if ".parquet" in path.name:
        FRAME.replace("", None).to_parquet(path)
        return path
    if "json" in path.name:
        rows = [{k: v for k, v in r.items() if v == v and v != ""} for r in FRAME.to_dict("records")]
        data = "\n".join(json.dumps(r, ensure_ascii=False) for r in rows).encode()
    else:
        data = FRAME.to_csv(index=False, sep={".tsv": "\t", ".txt": ";"}.get(path.suffix, ",")).encode()
    packers = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    path.write_bytes(packers.get(path.suffix, lambda b: b)(data))
    return path


def test_every_format_gives_the_same_table(file):
    data = read(file, target="sold")
    assert list(data.X.columns) == ["height", "town", "n"]
    np.testing.assert_array_equal(data.X["height"], FRAME["height"])
    assert data.X["n"].tolist() == FRAME["n"].tolist()
    assert data.X["town"].isna().tolist() == [False] * 3 + [True] + [False] * 2
    assert data.X["town"].dropna().tolist() == [t for t in FRAME["town"] if t]
    assert list(data.y) == FRAME["sold"].tolist()
    assert data.kind == "table" and data.target == "sold" and data.name in ("a", "b") and data.origin == str(file)


@pytest.mark.parametrize(
    ("text", "sep"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\n1\t2,3\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ('a,b\n"x;y;z",2\n', ","),
        ("a\n1\n", ","),
    ],
)
def test_delimiters_are_sniffed(text, sep):
    assert sniff(text) == sep


def test_decimal_commas_and_marks_for_missing_become_numbers_with_a_note(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b;c;y\n1,5;2;x;u\n-2,25;?;y;v\n3;4;x;u\n3;4;None;v\n")
    data = read(path)
    assert data.X["a"].tolist() == [1.5, -2.25, 3.0, 3.0]
    np.testing.assert_array_equal(data.X["b"], [2, np.nan, 4, 4])
    assert data.X["c"].tolist() == ["x", "y", "x", "None"], "None is a value where no numbers are"
    assert "decimal commas" in notes_of(data) and "'?' among numbers was taken as missing" in notes_of(data)


def test_quotation_marks_that_enclose_nothing_are_characters(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\ty\n"so he began\tu\n2" pipe\tv\n" no end\tu\nno "quotes" here\tv\n')
    data = read(path, target="y")
    assert data.X["text"].tolist() == ['"so he began', '2" pipe', '" no end', 'no "quotes" here']
    assert "quotation marks" in notes_of(data)
    path.write_text('text\ty\n"line one\nline two"\t0.5\n"a ""b"""\t1.5\n')
    assert read(path, target="y").X["text"].tolist() == ["line one\nline two", 'a "b"']


def test_a_table_without_a_header_gets_names_and_says_so(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1.5,0\n2.5,1\n3.5,0\n4.5,1\n")
    data = read(path)
    assert len(data) == 4 and list(data.X.columns) == ["column_1"] and data.target == "column_2"
    assert "line 1 of a.csv holds numbers" in notes_of(data)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_blank_lines_do_not_matter(tmp_path, ends, last):
    path = tmp_path / "a.csv"
    text = ends.join(["", "a,y", "1,0.5", "", "2,1.5"]) + ends * last
    path.write_bytes(text.encode())
    data = read(path)
    assert data.X["a"].tolist() == [1, 2] and list(data.y) == [0.5, 1.5]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8-sig", None), ("latin-1", "Windows-1252"), ("cp1252", "Windows-1252"), ("utf-16", "UTF-16")],
)
def test_encodings_are_found_out_and_said(tmp_path, encoding, said):
    path = tmp_path / "a.csv"
    path.write_bytes("größe,y\nö,0.5\né,1.5\n".encode(encoding))
    data = read(path, target="y")
    assert list(data.X.columns) == ["größe"] and data.X["größe"].tolist() == ["ö", "é"]
    assert (said in notes_of(data)) if said else "encoding" not in notes_of(data)


def test_the_signs_that_windows_has_and_latin_1_has_not_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,y\n5 €,0.5\n“x”,1.5\n".encode("cp1252"))
    assert read(path, target="y").X["a"].tolist() == ["5 €", "“x”"]


def test_a_few_lines_in_another_encoding_do_not_garble_the_others(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,y\nö,1\n".encode() + "ü,2\n".encode("cp1252") + "ß,3\n".encode())
    data = read(path, target="y")
    assert data.X["a"].tolist() == ["ö", "ü", "ß"]
    (note,) = [n for n in data.notes if "mixed" in n.what]
    assert note.count == 1 and "line 3" in note.why


def test_the_target_is_guessed_by_name_then_by_place_and_always_said(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Class,a,when\nu,1,2024-01-01\nv,2,2024-01-02\nu,3,2024-01-03\nv,5,2024-02-01\n")
    data = read(path)
    assert data.target == "Class" and "guessed: 'Class', by its name" in notes_of(data)
    path.write_text(path.read_text().replace("Class", "kind"))
    data = read(path)
    assert data.target == "a", "the last column is a date"
    assert "guessed" not in notes_of(read(path, target="kind"))


def test_what_nothing_can_be_learned_from_is_dropped_with_a_note(tmp_path):
    path = tmp_path / "a.csv"
    lines = [f"{i},,{i % 3},same,{'inf' if i == 2 else i / 2},{'uv'[i % 2]}" for i in range(10)]
    path.write_text("\n".join([",empty,a,one,b,y", *lines, "10,,1,same,1,", "11,,1,same,1,lonely"]))
    data = read(path)
    notes = {n.what: n for n in data.notes}
    assert list(data.X.columns) == ["a", "one", "b"] and len(data) == 10
    assert notes["rows without a target"].count == 1
    assert notes["classes of a single row"].count == 1 and "'lonely'" in notes["classes of a single row"].why
    assert notes["column 'empty'"].why.startswith("dropped")
    assert notes["first column"].why.startswith("dropped")
    assert "'one'" in notes["constant columns"].why
    assert notes["column 'b'"].count == 1 and np.isnan(data.X["b"][2])


def test_duplicates_stay_and_are_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n1,x,u\n1,x,v\n1,x,u\n2,x,v\n")
    data = read(path)
    assert len(data) == 4
    assert [n.count for n in data.notes if n.what == "duplicate rows"] == [2]


def test_to_predict_every_row_and_column_stays(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,empty,y\n1,,u\n1,,u\n2,,\n")
    data = read(path, require_target=False)
    assert data.y is None and list(data.X.columns) == ["a", "empty", "y"] and len(data) == 3
    data = read(path, target="y", require_target=False)
    assert list(data.X.columns) == ["a", "empty"] and len(data.y) == 3
    data = read(path, target="gone", group="gone", require_target=False)
    assert data.y is None and data.groups is None and data.X.shape == (3, 3)
    (tmp_path / "one.csv").write_text("a\n1\n2\n")
    assert read(tmp_path / "one.csv", require_target=False).X["a"].tolist() == [1, 2]


def test_groups_times_and_columns_are_taken_out_as_asked(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("who,when,a,b,y\np,2024-03-01,1,2,u\nq,2024-01-01,3,4,v\np,2024-02-01,5,6,u\nq,2024-02-02,5,6,v\n")
    data = read(path, target="y", group="who", time="when")
    assert list(data.X.columns) == ["when", "a", "b"] and data.groups.tolist() == ["p", "q", "p", "q"]
    assert np.argsort(data.time).tolist() == [1, 2, 3, 0]
    data = read(path, target="y", columns=["b"])
    assert list(data.X.columns) == ["b"]
    assert [n.count for n in data.notes if n.what == "columns"] == [3]


def test_a_column_of_ten_thousand_categories_is_kept_and_said(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"{i},c{i % 10_000},{i % 2}" for i in range(20_000)]
    path.write_text("\n".join(["a,b,y", *rows]))
    data = read(path)
    assert data.X["b"].nunique() == 10_000
    assert "'b' has 10,000 different values in 20,000 rows" in notes_of(data)


def test_nested_json_becomes_text_with_a_note_and_parquet_types_plain_values(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": {"k": [1, 2]}, "y": "u"}\n{"a": null, "y": "v"}\n{"b": 3, "y": "u"}\n{"y": "v"}\n')
    data = read(path, target="y")
    assert data.X["a"][0] == '{"k": [1, 2]}' and "nested" in notes_of(data)
    import datetime
    import decimal

    table = pd.DataFrame(
        {
            "day": [datetime.date(2024, 1, 2), datetime.date(2024, 1, 3)],
            "sum": [decimal.Decimal("1.50"), decimal.Decimal("2.25")],
            "kind": pd.Categorical(["p", "q"]),
            "y": [1.5, 2.5],
        }
    )
    table.to_parquet(tmp_path / "a.parquet")
    data = read(tmp_path / "a.parquet", target="y")
    assert data.X["day"][1] == pd.Timestamp("2024-01-03") and data.X["sum"].tolist() == [1.5, 2.25]
    assert data.X["kind"].tolist() == ["p", "q"] and not isinstance(data.X["kind"].dtype, pd.CategoricalDtype)


def test_numbers_are_read_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=200) * 10.0 ** rng.integers(-300, 300, 200)
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,y", *(f"{v!r},{i % 2}" for i, v in enumerate(values.tolist()))]))
    np.testing.assert_array_equal(read(path).X["a"], values)


@pytest.mark.data
def test_real_tables_are_read_as_pandas_reads_them(data_home):
    """Where nothing needs mending, an independent reader sees the same values."""
    for name, target in (("ames", "Sale_Price"), ("credit_data", "Status"), ("penguins", "species")):
        path = data_home / "tabular" / f"{name}.csv.gz"
        # pandas takes "None" for missing by default, which in ames is the name of a kind of masonry.
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
        target = target if target in frame.columns else frame.columns[-1]
        data = read(path, target=target)
        pd.testing.assert_frame_equal(
            data.X, frame.drop(columns=target)[list(data.X.columns)], check_dtype=False, check_exact=True
        )
        assert frame.shape == (len(data), data.X.shape[1] + 1)


@pytest.mark.data
def test_a_real_file_of_unmatched_quotation_marks_keeps_its_rows(data_home):
    data = read(data_home / "text" / "sentiment_vader_4domains.tsv.gz", target="mean_rating_-4_4")
    assert len(data) == 4200 + 10605 + 3708 + 5190


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 24])
@pytest.mark.parametrize("line", [2, 3, 17, 40])
def test_a_ragged_row_is_found_wherever_the_blocks_end(tmp_path, monkeypatch, block, line):
    monkeypatch.setattr("gradus.data.delimited.BLOCK", block)
    path = tmp_path / "a.csv"
    rows = [f"{i},{i % 7},{i % 3}" for i in range(2, 41)]
    path.write_text("\n".join(["a,b,y", *rows]))
    assert len(read(path, target="b")) == 39
    rows[line - 2] += ",9"
    path.write_text("\n".join(["a,b,y", *rows]))
    with pytest.raises(DataError, match=f"got 4 in line {line};"):
        read(path, target="b")


CODES = ["01067", "80331", "04103", "20095", "", "99999"]


def postal(tmp_path, codes=CODES, n=24, sep=",", target=None):
    """A table of a postal code, a price and a class; the code has gaps, so that pandas takes it for floats."""
    path = tmp_path / ("a.tsv" if sep == "\t" else "a.csv")
    rows = [sep.join([codes[i % len(codes)], f"{i}.5", "0.25", "uv"[i % 2]]) for i in range(n)]
    path.write_text("\n".join([sep.join(["plz", "price", "share", "y"]), *rows]))
    return path


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("gaps", [True, False])
def test_codes_keep_their_leading_zeros_with_a_note(tmp_path, sep, gaps):
    codes = CODES if gaps else [c for c in CODES if c]
    data = read(postal(tmp_path, codes, sep=sep), target="y")
    assert data.X["plz"].fillna("").tolist() == (codes * 24)[:24]
    assert data.X["price"].tolist() == [i + 0.5 for i in range(24)]
    assert {c.name: c.kind for c in infer_columns(data.X)}["plz"] == "category"
    (note,) = [n for n in data.notes if n.what == "column 'plz'"]
    assert note.count == sum(c.startswith("0") for c in (codes * 24)[:24])
    assert "leading zeros, as in '01067', make" in note.why


@pytest.mark.parametrize("text", ['"007"', "007 ", " 007"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_codes_are_found_however_they_are_written(tmp_path, text, ends):
    path = tmp_path / "a.csv"
    path.write_bytes(ends.join(["y,a,b", "u,0.5,12", f"v,1.5,{text}", "u,2.5,12", "v,3.5,8"]).encode())
    assert read(path, target="y").X["b"].tolist() == ["12", "007", "12", "8"]
    path.write_bytes(ends.join(["b,a,y", "12,0.5,u", f"{text},1.5,v", "12,2.5,u", "8,3.5,v"]).encode())
    assert read(path, target="y").X["b"].tolist() == ["12", "007", "12", "8"]


def test_marks_for_missing_among_codes_become_missing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,y\n007,u\n?,v\n12,u\n12,v\n")
    data = read(path, target="y")
    assert data.X["a"].fillna("gone").tolist() == ["007", "gone", "12", "12"]
    assert "'?' among codes was taken as missing" in notes_of(data)


@pytest.mark.parametrize(
    "values", ["0,10,20", "0.5,00.5,01.5", "-01,02,3", "1e05,2,3", "2024-01-02,2024-01-03,2024-01-04"]
)
def test_no_codes_are_seen_where_zeros_mean_nothing(tmp_path, values):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a;y", *(f"{v};{'uv'[i % 2]}" for i, v in enumerate(values.split(",") * 4))]))
    data = read(path, target="y")
    assert infer_columns(data.X)[0].kind in ("number", "date")
    assert "zeros" not in notes_of(data)


def test_codes_without_zeros_in_new_rows_are_the_codes_that_were_fitted(tmp_path):
    """In a file of new rows no code may begin with a zero, and a gap makes floats of them."""
    path = postal(tmp_path, ["80331", "", "20095"])
    new = read(path, require_target=False).X["plz"]
    assert as_text(new).tolist()[:3] == ["80331", "", "20095"]


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_target_of_digits_with_zeros_is_classes_or_numbers(tmp_path, kind):
    path = tmp_path / "a.csv"
    values = ["01", "02", "10"] * 10 if kind == "classes" else [f"{i * 37 % 1000:05}" for i in range(30)]
    path.write_text("\n".join(["a,y", *(f"{i % 7}.5,{v}" for i, v in enumerate(values))]))
    data = read(path, target="y")
    assert data.y.tolist() == (values if kind == "classes" else [int(v) for v in values])
    (note,) = [n for n in data.notes if n.what == "target 'y'"]
    assert ("codes, which are classes" if kind == "classes" else "read as numbers") in note.why


def test_times_padded_with_zeros_are_sorted_as_numbers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["hour,a,y", *(f"{h:02},{h}.5,{'uv'[h % 2]}" for h in (11, 2, 9, 10, 1, 3))]))
    data = read(path, target="y", time="hour")
    assert data.time.tolist() == [11, 2, 9, 10, 1, 3]


def test_text_of_codes_in_other_formats_is_noted_too(tmp_path):
    frame = pd.DataFrame({"plz": ["01067", "80331"] * 12, "a": np.arange(24) + 0.5, "y": ["u", "v"] * 12})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    for name in ("a.parquet", "a.jsonl"):
        data = read(tmp_path / name, target="y")
        assert data.X["plz"].tolist() == frame["plz"].tolist() and "leading zeros" in notes_of(data)
