"""The main job on rows without a target, as a person would use it."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gradus.core.errors import DataError, SettingError
from gradus.practice.alone import Independent
from gradus.runs.graph import picture_of_run
from gradus.runs.job import Job, fit_source, resume_run
from gradus.runs.opened_alone import open_alone
from gradus.runs.other_answers import alone_frame
from gradus.runs.predictions import predict_run
from gradus.runs.sampling import sample_run


def fitted(folder, task, source="iris", **settings):
    return fit_source(source, task=task, out=folder / task, settings={k: str(v) for k, v in settings.items()})


@pytest.mark.parametrize(
    ("task", "metric", "columns"),
    [
        ("density", "log_likelihood", {"log_density"}),
        ("factors", "log_likelihood", {"log_density", "z1"}),
        ("cluster", "log_likelihood", {"group", "probability", "log_density"}),
    ],
)
def test_from_rows_to_answers(tmp_path, task, metric, columns):
    settings = {"max_epochs": 5} if task == "density" else {}
    run = fitted(tmp_path, task, **settings)
    record = run.read_record()
    assert record.status == "finished" and record.task == task and record.metric.name == metric
    assert record.rung(record.chosen).test.value > record.ladder[0].test.value
    answers = predict_run(run.path, "iris")
    assert columns <= set(answers) and len(answers) == 150
    drawn = sample_run(run.path, 7, seed=0)
    assert list(drawn) == [f"{a} {b} (cm)" for a in ("sepal", "petal") for b in ("length", "width")] and len(drawn) == 7
    assert drawn.equals(sample_run(run.path, 7, seed=0)) and not drawn.equals(sample_run(run.path, 7, seed=1))
    assert run.report.stat().st_size > 10_000


def test_codes_of_pictures(tmp_path):
    run = fitted(tmp_path, "compress", "digits", max_epochs=3, n_components=5)
    record = run.read_record()
    assert record.metric.name == "variance_lost" and not record.metric.higher_is_better
    assert record.rung("PCA").test.value < 1
    answers = predict_run(run.path, "digits")
    assert [c for c in answers if c.startswith("z")] == ["z1", "z2", "z3", "z4", "z5"]
    assert "Reconstructions" in run.report.read_text("utf-8")
    with pytest.raises(DataError, match="can be sampled"):
        sample_run(run.path, 1)


def test_generated_rows_and_a_stopped_run_that_goes_on(tmp_path):
    whole = fitted(tmp_path, "generate", "wine", max_epochs=4, checkpoint_every=3)
    record = json.loads(whole.record_file.read_text("utf-8"))
    record["status"] = "stopped"
    whole.record_file.write_text(json.dumps(record), "utf-8")
    before = {p.name: p.read_bytes() for p in whole.model.glob("*.safetensors")}
    again = resume_run(whole.path)
    assert {p.name: p.read_bytes() for p in again.model.glob("*.safetensors")} == before and len(before) == 1
    assert again.read_record().status == "finished"


def test_gaps_go_through_a_plane(tmp_path, data_home):
    table = pd.read_csv(data_home / "tabular" / "penguins.csv.gz")
    source = tmp_path / "penguins.csv"
    table.loc[::9, "body_mass_g"] = np.nan
    table.to_csv(source, index=False)
    run = fitted(tmp_path, "density", source, n_components=2)
    record = run.read_record()
    notes = " ".join(record.data.notes)
    assert "hold no numbers; left out" in notes and record.data.columns == 4 + ("year" in table)
    assert {row.name for row in record.ladder} == {"independent columns", "probabilistic PCA", "factor analysis"}
    assert record.chosen != "independent columns"
    assert "mixtures, flows and autoencoders do not, and are left out" in notes
    answers = predict_run(run.path, source)
    some = table.select_dtypes("number").notna().any(axis=1).to_numpy()
    assert len(answers) == len(table) and not some.all()
    assert np.array_equal(np.isfinite(answers["log_density"]), some)


def test_factors_of_large_pictures(tmp_path, data_home, monkeypatch):
    monkeypatch.setenv("GRADUS_DATA", str(data_home))
    monkeypatch.setattr("gradus.runs.opened_patches.JUDGED", 400)
    small = {"patch_size": 8, "n_patches": 1500, "max_iter": 6, "n_components": 12}
    run = fitted(tmp_path, "factors", "photos", **small)
    record = run.read_record()
    assert record.data.kind == "pictures" and record.data.rows == 11 and record.data.counted == "pictures"
    split = record.data.split
    assert (split.train, split.valid, split.test) == (7, 2, 2) and "whole pictures" in split.how
    assert {row.name for row in record.ladder} >= {"PCA", "ICA", record.chosen} and record.kept == record.chosen
    assert record.rung(record.chosen).test.value < record.ladder[0].test.value
    report = run.report.read_text("utf-8")
    assert all(word in report for word in ("Filters", "Gabor functions", "How few are active", "Patches explained"))
    folder = tmp_path / "two"
    folder.mkdir()
    with np.load(data_home / "vision" / "photos.npz", allow_pickle=False) as file:
        for name in ("camera", "coffee"):
            Image.fromarray(file[name][:81, :70]).save(folder / f"{name}.png")
    answers = predict_run(run.path, folder)
    assert len(answers) == 2 * 10 * 8 and set(answers["picture"]) == {"camera.png", "coffee.png"}
    assert answers["row"].max() == 72 and answers["column"].max() == 56
    codes = answers[[name for name in answers if name.startswith("z")]]
    assert codes.shape[1] == 12 and (codes.std() > 0).all()
    drawn = json.loads(run.record_file.read_text("utf-8"))
    before = (run.model / "estimator.json").read_bytes(), sorted(p.name for p in run.model.iterdir())
    run.record_file.write_text(json.dumps({**drawn, "status": "stopped"}), "utf-8")
    again = resume_run(run.path)
    assert (again.model / "estimator.json").read_bytes() == before[0]
    assert sorted(p.name for p in again.model.iterdir()) == before[1]
    with pytest.raises(DataError, match="can be sampled"):
        sample_run(run.path, 1)
    with pytest.raises(DataError, match="pictures, as the run was fitted on"):
        predict_run(run.path, "iris")


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"patch_size": "60"}, "patch_size"), ({"foo": "1"}, "PatchFactors"), ({"method": "pca", "keep": "2"}, "keep")],
)
def test_wrong_settings_of_patches(tmp_path, data_home, settings, word):
    with pytest.raises(SettingError, match=word):
        fitted(tmp_path, "factors", data_home / "vision" / "photos.npz", **settings)
    with pytest.raises(DataError, match="use --task factors"):
        fitted(tmp_path, "density", data_home / "vision" / "photos.npz")


def test_too_few_pictures(tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for k in range(4):
        noise = np.random.default_rng(k).integers(0, 256, (70, 70), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{k}.png")
    with pytest.raises(DataError, match="5 pictures"):
        fitted(tmp_path, "factors", folder)


def test_a_density_of_a_table_by_flows_and_its_whole_numbers(tmp_path, data_home):
    source = data_home / "tabular" / "Vowel.csv.gz"
    run = fitted(tmp_path, "density", source, max_epochs=4)
    record = run.read_record()
    assert record.data.steps == {"V1": 1.0} and any("uniform noise" in note for note in record.data.notes)
    assert {"flow of affine couplings", "flow of splines", "factor analysis"} <= {row.name for row in record.ladder}
    assert record.kept is not None and record.rung(record.kept).kind == "network"
    assert record.estimator in ("RealNVP", "NeuralSplineFlow")
    values = sample_run(run.path, 50, seed=1)["V1"]
    assert (values == values.round()).all()
    answers = predict_run(run.path, source)["log_density"]
    assert abs(answers.mean() - record.rung(record.chosen).test.value) < 1.5
    picture = picture_of_run(run.path)
    assert not any("random numbers" in note for note in picture.notes)


def test_the_latent_page_lies_beside_the_report(tmp_path):
    run = fitted(tmp_path, "compress", "digits", max_epochs=3)
    record = run.read_record()
    assert list(record.pages.values()) == ["latent.html"]
    assert 'href="latent.html"' in run.report.read_text("utf-8")
    page = (run.path / "latent.html").read_text("utf-8")
    assert next(iter(record.pages)).removeprefix("Latent map of ") in page and "default-src 'none'" in page
    table = fitted(tmp_path, "generate", "wine", max_epochs=3)
    assert "proline" in (table.path / "latent.html").read_text("utf-8")


def test_tables_are_generated_as_rows_and_texts_as_texts(tmp_path):
    rows = np.random.default_rng(0).normal(size=(200, 3)).round(4)
    source = tmp_path / "rows.csv"
    pd.DataFrame(rows, columns=list("abc")).to_csv(source, index=False)
    record = fitted(tmp_path, "generate", source, max_epochs=2).read_record()
    assert record.data.kind == "table" and record.data.names == ["a", "b", "c"]


def test_what_a_source_is_instead_is_said(tmp_path):
    story = tmp_path / "story.txt"
    story.write_text("It was a dark night.\n\n" + "The rain fell, in torrents; except at times.\n" * 40, "utf-8")
    with pytest.raises(DataError, match="got a text; learn the text with --task generate"):
        fitted(tmp_path, "factors", story)
    one = tmp_path / "one.csv"
    values = np.concatenate([np.random.default_rng(0).normal(c, 1, 150) for c in (-4, 4)])
    pd.DataFrame({"a": values}).to_csv(one, index=False)
    for task in ("factors", "compress"):
        with pytest.raises(DataError, match="two columns of numbers"):
            fitted(tmp_path, task, one)
    record = fitted(tmp_path, "density", one).read_record()
    assert record.chosen.startswith("mixture of")
    assert record.rung(record.chosen).test.value > record.ladder[0].test.value + 0.2
    gaps = tmp_path / "gaps.csv"
    pd.DataFrame({"a": values, "b": np.where(values > 4, np.nan, values**2)}).to_csv(gaps, index=False)
    with pytest.raises(DataError, match="use --task density"):
        fitted(tmp_path, "cluster", gaps)


@pytest.mark.parametrize(
    ("text", "word"),
    [("a,b\nx,y\n" * 80, "numbers"), ("a,b\n1,2\n3,4\n", "60 rows"), ("a\n" + "5\n" * 100, "vary")],
)
def test_what_cannot_be_learned_from_is_refused(tmp_path, text, word):
    source = tmp_path / "rows.csv"
    source.write_text(text, "utf-8")
    with pytest.raises(DataError, match=word) as caught:
        fitted(tmp_path, "density", source)
    assert "\n" not in str(caught.value) and not (tmp_path / "density").exists()


def test_a_setting_of_another_model_is_refused(tmp_path):
    with pytest.raises(SettingError, match="FactorAnalysis"):
        fitted(tmp_path, "factors", batch_size=3)


def test_samples_have_the_values_of_the_data(tmp_path):
    """Counts from 0, flags and prices: drawn rows are rounded and within the range, whatever the task."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=400)
    table = pd.DataFrame({
        "count": rng.poisson(np.exp(0.5 * size)), "flag": size + rng.normal(size=400) > 0,
        "size": size, "price": np.round(np.exp(size), 1),
    })  # fmt: skip
    source = tmp_path / "rows.csv"
    table.to_csv(source, index=False)
    for task, settings in (("generate", {"max_epochs": 3}), ("density", {"max_epochs": 2}), ("cluster", {})):
        run = fitted(tmp_path, task, source, **settings)
        data = run.read_record().data
        assert data.steps == {"count": 1.0, "flag": 1.0, "price": 0.1}
        assert data.bounds["flag"] == (0, 1) and data.bounds["count"][0] == 0
        assert any("noise of one step" in note for note in data.notes) == (task != "generate")
        rows = sample_run(run.path, 400, seed=0)
        assert set(rows["flag"]) == {0.0, 1.0} and set(rows["count"]) <= set(range(table["count"].max() + 1))
        assert np.allclose(rows["price"], rows["price"].round(1)) and (rows["price"] >= table["price"].min()).all()
        assert rows["size"].nunique() == 400
        assert [rows[name].dtype.kind for name in ("count", "flag", "size", "price")] == ["i", "i", "f", "f"]


def test_a_generator_that_has_no_code_still_answers_rows(tmp_path):
    """Two clouds: a mixture is chosen, and tells to which component a row belongs."""
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 150)
    rows = np.array([[-6.0, -6.0], [6.0, 6.0]])[groups] + rng.normal(size=(300, 2))
    source = tmp_path / "rows.csv"
    pd.DataFrame(rows, columns=list("ab")).to_csv(source, index=False)
    run = fitted(tmp_path, "generate", source, max_epochs=1)
    record = run.read_record()
    assert record.chosen.startswith("mixture of") and any("gradus predict" in line for line in record.next_commands)
    answers = predict_run(run.path, source)
    assert list(answers) == ["group", "probability"] and answers["probability"].between(0, 1).all()
    for group in answers["group"].unique():  # no component holds rows of both clouds
        assert len(set(groups[answers["group"] == group])) == 1
    independent = Independent().fit(rows)  # no groups, and a code of no number
    answers = alone_frame(independent, source, record, lambda notes: None)
    assert list(answers) == ["log_density"]
    assert np.allclose(answers["log_density"], independent.score_samples(rows))


def test_groups_of_pictures_are_judged_with_noise_on_their_levels(tmp_path):
    run = fitted(tmp_path, "cluster", "digits")
    record = run.read_record()
    assert any("noise of one step of 17" in note for note in record.data.notes)
    scores = [row.test.value for row in record.ladder if row.test is not None]
    assert all(0 < score < 64 * np.log(17) for score in scores)  # a uniform density has 0; all on one level, the most
    assert 0 < record.test_scores["bits_per_pixel"].value < np.log2(17)
    drawn = sample_run(run.path, 30, seed=0).to_numpy()
    assert drawn.dtype.kind == "i" and drawn.min() == 0 and drawn.max() == 16


@pytest.mark.parametrize(("size", "task"), [(1e200, "density"), (1e200, "compress"), (1e-200, "cluster")])
def test_numbers_beyond_what_squares_hold_are_refused_by_name(tmp_path, size, task):
    rng = np.random.default_rng(0)
    source = tmp_path / "rows.csv"
    pd.DataFrame({"a": rng.normal(size=100), "far": size * rng.normal(size=100)}).to_csv(source, index=False)
    with pytest.raises(DataError, match="in column 'far'; change its unit") as caught:
        fitted(tmp_path, task, source)
    assert "\n" not in str(caught.value) and not (tmp_path / task).exists()


def test_the_publisher_s_test_part_is_the_test_part(tmp_path):
    """The test rows differ from the others by a shift: what is learned of the others knows nothing of it."""
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 100, (200, 6, 6), dtype=np.uint8), rng.integers(100, 200, (80, 6, 6), dtype=np.uint8)
    train[100:] = train[:100]  # every picture twice
    test[:3] = train[:3]
    labels = np.arange(280) % 3
    source = tmp_path / "pictures.npz"
    np.savez(source, x_train=train, y_train=labels[:200], x_test=test, y_test=labels[200:])
    opened = open_alone(Job(source=str(source), task="cluster", target="y_train"), {})
    parts = opened.parts
    assert (len(parts.train) + len(parts.valid), len(parts.test)) == (200, 80)
    assert "the publisher's own test part of 80 rows" in opened.how
    assert any(note.count == 3 and "publisher's test part" in note.what for note in opened.notes)
    assert not set(parts.train % 100) & set(parts.valid % 100)  # equal pictures on one side, whatever their noise
    assert opened.rows[parts.test[3:]].mean() > 0.5 > opened.rows[parts.train].mean()
    assert np.array_equal(opened._labels, labels[200:].astype(str))


@pytest.mark.parametrize("side", ["group", "time"])
def test_groups_and_times_are_those_of_the_rows_beside_a_publisher_s_test_part(tmp_path, side):
    rng = np.random.default_rng(0)
    pictures, values = rng.integers(0, 256, (280, 6, 6), dtype=np.uint8), np.arange(200) // 5
    source = tmp_path / "pictures.npz"
    labels = np.arange(280) % 3
    train, test = (
        {"x_train": pictures[:200], "y_train": labels[:200]},
        {"x_test": pictures[200:], "y_test": labels[200:]},
    )
    np.savez(source, **train, **test, side=values)
    parts = open_alone(Job(source=str(source), task="cluster", target="y_train", **{side: "side"}), {}).parts
    assert np.array_equal(parts.test, np.arange(200, 280)) and len(parts.train) + len(parts.valid) == 200
    assert not set(values[parts.train]) & set(values[parts.valid])
    assert side == "group" or values[parts.train].max() < values[parts.valid].min()


def test_pictures_are_generated_with_one_spread_for_all_pixels(tmp_path):
    record = fitted(tmp_path, "generate", "digits", max_epochs=1).read_record()
    assert {s.name: s.value for s in record.settings}["spread"] == "shared"
    record = fitted(tmp_path / "table", "generate", "wine", max_epochs=1).read_record()
    assert {s.name: s.value for s in record.settings}["spread"] == "columns"
