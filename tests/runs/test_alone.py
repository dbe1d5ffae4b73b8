"""The main job on rows without a target, as a person would use it."""

import json

import numpy as np
import pandas as pd
import pytest

from gradus.core.errors import DataError, SettingError
from gradus.runs.job import fit_source, resume_run
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
    assert "hold no numbers" in notes and record.data.columns == 4 + ("year" in table)
    assert {row.name for row in record.ladder} == {"independent columns", "probabilistic PCA", "factor analysis"}
    assert record.chosen != "independent columns"
    answers = predict_run(run.path, source)
    some = table.select_dtypes("number").notna().any(axis=1).to_numpy()
    assert len(answers) == len(table) and not some.all()
    assert np.array_equal(np.isfinite(answers["log_density"]), some)


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
