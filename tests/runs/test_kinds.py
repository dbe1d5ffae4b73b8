"""The main job on what is no table of rows with a target: plain texts, columns of texts, series in time."""

import gzip
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gradus.applications.language.ngrams import NGramLanguageModel
from gradus.applications.timeseries import NaiveForecaster, backtest, read_series
from gradus.core.errors import DataError, SettingError
from gradus.estimators.persistence import load
from gradus.practice.contests import TextContest
from gradus.runs.answers import inspect_source
from gradus.runs.job import fit_source, resume_run
from gradus.runs.predictions import predict_run
from gradus.runs.sampling import sample_run

VERSE = "the cat sat on the mat and the dog sat on the log\nwhile a bird in the tree sang to the bee.\n"
SMALL_TEXT = {"width": "16", "layers": "1", "heads": "2", "context": "16", "max_steps": "30"}
SMALL_SERIES = {"horizon": "6", "max_epochs": "2"}


def verses(n=60, seed=0):
    words = VERSE.split()
    rng = np.random.default_rng(seed)
    return "\n".join(" ".join(rng.permutation(words)) for _ in range(n))


def waves(n=160, **more):
    t = np.arange(n)
    noise = np.random.default_rng(0).normal(0, 0.05, n)
    months = pd.date_range("2010-01-01", periods=n, freq="MS").strftime("%Y-%m-%d")
    return pd.DataFrame({"month": months, "sold": 5 + np.sin(2 * np.pi * t / 12) + 0.02 * t + noise, **more})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- plain text ----


def test_a_text_goes_from_counts_to_a_network_and_is_sampled(here):
    Path("verse.txt").write_text(verses())
    run = fit_source("verse.txt", settings=SMALL_TEXT, out="run")
    record = run.read_record()
    assert record.task == "generate" and record.data.kind == "corpus" and record.status == "finished"
    assert [r.kind for r in record.ladder] == ["trivial", "classical", "network"]
    assert record.metric.name == "bits_per_byte" and record.chosen == "6-grams"
    assert set(record.test_scores) == {"bits_per_byte", "nats_per_character", "perplexity_per_character"}
    one = sample_run("run", prompt="the ", length=12, seed=3)
    assert (
        one == sample_run("run", prompt="the ", length=12, seed=3) and one[0].startswith("the ") and len(one[0]) == 16
    )
    assert len(set(sample_run("run", 3, length=30, seed=0))) == 3
    said = predict_run("run", "verse.txt")
    assert said.columns.tolist() == ["text", "characters", "bits_per_byte", "perplexity"]
    page = run.report.read_text()
    assert "Samples" in page and "Where attention goes" in page and "What surprised it most" in page
    with pytest.raises(SettingError, match="top_k"):  # of networks only
        sample_run("run", top_k=3)


def test_the_score_of_a_text_is_that_of_its_unseen_end(here):
    text = verses(80)
    Path("verse.txt").write_text(text)
    record = fit_source("verse.txt", settings=SMALL_TEXT, out="run").read_record()
    a, b = (next(text.index("\n", round(len(text) * share)) + 1 for _ in "x") for share in (0.8, 0.9))
    assert (record.data.split.train, record.data.split.valid) == (a, b - a)
    model = NGramLanguageModel(order=6).fit([text[:a]])
    assert record.rung("6-grams").valid.value == pytest.approx(model.bits_per_byte([text[a:b]]), rel=1e-9)
    assert record.rung("6-grams").test.value == pytest.approx(model.bits_per_byte([text[b:]]), rel=1e-9)
    network = load("run/model")
    assert record.rung("transformer").test.value == pytest.approx(network.bits_per_byte([text[b:]]), rel=1e-5)


def test_a_text_in_two_bytes_a_character_counts_bytes_for_bits_and_characters_for_nats():
    text = "äöü" * 400
    model = NGramLanguageModel(order=1).fit([text])
    contest = TextContest([text], [text], [text])
    answers, score = contest.judge(model, "test")
    others = {measure.name: s.value for measure, s in contest.others(answers)}
    assert score.value == pytest.approx(-model.score_samples([text])[0] / math.log(2) / 2400)
    assert others["nats_per_character"] == pytest.approx(-model.score([text]))
    assert contest.compare(answers, answers).difference == 0


def test_a_stopped_text_run_resumes_to_the_same_weights(here):
    Path("verse.txt").write_text(verses())
    settings = {**SMALL_TEXT, "dropout": "0.2", "checkpoint_every": "5"}
    whole = fit_source("verse.txt", settings=settings, out="whole")

    class Stop(BaseException):
        pass

    def stop(trainer, event):
        if trainer.step >= 17:
            raise Stop

    from gradus.training.observers import observed_by

    with pytest.raises(Stop), observed_by(lambda trainer, event: stop(trainer, event)):
        fit_source("verse.txt", settings={**settings, "checkpoint_every": "5"}, out="part")
    resume_run("part")
    a, b = (load(f"{name}/model").network_.state_dict() for name in ("whole", "part"))
    assert all((a[k] == b[k]).all() for k in a) and whole.read_record().chosen == "6-grams"


def test_several_texts_are_divided_whole(here):
    Path("poems").mkdir()
    for k in range(12):
        Path(f"poems/p{k}.txt").write_text(verses(6, seed=k))
    record = fit_source("poems", task="generate", settings=SMALL_TEXT, out="run").read_record()
    assert "10 texts for training, 1 for validation, 1 for test" in record.data.split.how
    assert len(predict_run("run", "poems")) == 12


@pytest.mark.parametrize(
    ("name", "content", "task", "sentence"),
    [
        ("short.txt", "so much depends upon a red wheel barrow glazed with rain water beside the white chickens and "
         "all of that", "generate", "2,000 characters"),
        ("empty.txt", " \n", "generate", "blank"),
        ("table.csv", "a,b\n1,2\n3,4\n" * 9, "forecast", "one row a step"),
        ("table.csv", "a,b\n1,2\n3,4\n5,2\n" * 9, "forcast", "forecast"),
    ],
)  # fmt: skip
def test_what_is_no_text_or_series_is_refused(here, name, content, task, sentence):
    Path(name).write_text(content)
    with pytest.raises((DataError, SettingError), match=sentence):
        fit_source(name, task=task, out="run")
    assert not Path("run").exists()


def test_a_text_has_no_target_and_a_table_is_no_text(here):
    Path("verse.txt").write_text(verses())
    with pytest.raises(DataError, match="leave out --target"):
        fit_source("verse.txt", target="x", out="run")
    Path("t.txt").write_text("size\tweight\n" + "1\t2\n3\t5\n" * 40)
    assert inspect_source("t.txt", target="weight")["kind"] == "table"
    assert inspect_source("verse.txt")["kind"] == "corpus"


# ---- columns of texts ----


def moods(n=120, **more):
    rng = np.random.default_rng(1)
    up, down = ["good", "lovely", "fine", "great"], ["bad", "awful", "poor", "sad"]
    mood = rng.integers(0, 2, n)
    said = [
        f"this {rng.choice(['film', 'book', 'play'])} number {k} was {rng.choice((down, up)[m])} to me and you"
        for k, m in enumerate(mood)
    ]
    return pd.DataFrame({"said": said, "mood": np.where(mood, "up", "down"), **more})


def test_a_column_of_texts_is_read_in_words(here):
    moods(house=np.arange(120) % 3).to_csv("m.csv", index=False)
    run = fit_source("m.csv", target="mood", settings={"network": "bag", "max_epochs": "30", "learning_rate": "0.02"},
                     out="run")  # fmt: skip
    record = run.read_record()
    assert record.data.kind == "texts" and record.data.roles == {"text": "said"}
    assert any("house" in note for note in record.data.notes)
    assert [r.name for r in record.ladder] == [
        "most frequent class", "logistic regression on words", "mean of word embeddings",
    ]  # fmt: skip
    assert record.rung("mean of word embeddings").test.value > 0.9
    table = predict_run("run", "m.csv")
    assert (table["prediction"] == moods()["mood"]).mean() > 0.9
    Path("new.txt").write_text("this film was lovely\n\nthis play was awful\n")
    assert predict_run("run", "new.txt")["prediction"].tolist() == ["up", "down"]
    moods().rename(columns={"said": "told"}).to_csv("other.csv", index=False)
    with pytest.raises(DataError, match="'said'"):
        predict_run("run", "other.csv")


def test_a_table_stays_one_where_asked_or_where_much_else_is_in_it(here):
    moods().assign(size=np.arange(120.0)).to_csv("m.csv", index=False)
    quick = {"max_epochs": "1"}
    assert fit_source("m.csv", target="mood", text="none", settings=quick, out="a").read_record().data.kind == "table"
    more = {f"x{k}": np.random.default_rng(k).normal(size=120) for k in range(3)}
    moods(**more).to_csv("n.csv", index=False)
    assert fit_source("n.csv", target="mood", settings=quick, out="b").read_record().data.kind == "table"
    found = fit_source("n.csv", target="mood", text="said", settings={**quick, "network": "bag"}, out="c").read_record()
    assert found.data.kind == "texts" and "--text said" in found.command
    with pytest.raises(DataError, match="did you mean 'said'"):
        fit_source("n.csv", target="mood", text="siad", out="d")


# ---- series ----


def test_a_series_is_forecast_tested_and_sampled(here):
    waves().to_csv("w.csv", index=False)
    run = fit_source("w.csv", settings=SMALL_SERIES, out="run")
    record = run.read_record()
    assert (record.task, record.data.kind, record.target) == ("forecast", "series", "sold")
    assert record.data.roles == {"time": "month"} and record.metric.name == "mase"
    by_hand = backtest(NaiveForecaster(method="seasonal", horizon=6, season=12), waves(), horizon=6, origins=6)
    assert record.rung("seasonal naive").test.value == pytest.approx(by_hand.value("mase"))
    earlier = read_series(waves()).without_last(36)
    before = backtest(NaiveForecaster(method="seasonal", horizon=6, season=12), earlier, horizon=6, origins=6)
    assert record.rung("seasonal naive").valid.value == pytest.approx(before.value("mase"))
    said = predict_run("run", "w.csv")
    assert said.columns.tolist() == ["series", "time", "step", "prediction", "low", "high"] and len(said) == 6
    assert str(said["time"].iloc[0])[:10] == "2023-05-01" and (said["low"] < said["high"]).all()
    paths = sample_run("run", 3, seed=1)
    assert len(paths) == 18 and paths["path"].tolist()[::6] == [1, 2, 3]
    assert paths["value"].tolist() == sample_run("run", 3, seed=1)["value"].tolist()
    page = run.report.read_text()
    assert "Forecast" in page and "Earlier forecasts" in page


def test_a_forecast_goes_on_from_a_newer_history(here):
    waves(100).to_csv("w.csv", index=False)
    record = fit_source("w.csv", settings=SMALL_SERIES, out="run").read_record()
    waves(130).to_csv("newer.csv", index=False)
    said = predict_run("run", "newer.csv")
    assert str(said["time"].iloc[0])[:10] == "2020-11-01"
    assert abs(said["prediction"].iloc[0] - waves(131)["sold"].iloc[-1]) < 2.0, record.chosen
    waves(130).rename(columns={"sold": "bought"}).to_csv("other.csv", index=False)
    with pytest.raises(DataError, match="'sold'"):
        predict_run("run", "other.csv")


def test_a_table_with_dates_and_columns_that_explain_a_named_target_is_one_of_rows(here):
    waves(heat=np.random.default_rng(2).normal(size=160)).to_csv("w.csv", index=False)
    quick = {"max_epochs": "1"}
    assert fit_source("w.csv", target="sold", settings=quick, out="a").read_record().task == "regression"
    found = fit_source("w.csv", settings=SMALL_SERIES, out="b").read_record()
    assert found.task == "forecast" and found.data.columns == 2
    asked = fit_source("w.csv", target="sold", task="forecast", settings=SMALL_SERIES, out="c").read_record()
    assert asked.data.columns == 1 and asked.target == "sold"


def test_many_series_in_a_long_table(here):
    one = waves(90)
    pd.concat([one.assign(shop="a"), one.assign(shop="b", sold=one["sold"] * 2)]).to_csv("w.csv", index=False)
    record = fit_source("w.csv", settings=SMALL_SERIES, out="run").read_record()
    assert record.data.roles == {"time": "month", "by": "shop"} and record.data.columns == 2
    said = predict_run("run", "w.csv")
    assert said["series"].unique().tolist() == ["a", "b"] and len(said) == 12
    assert len(sample_run("run", 2, seed=0)) == 24


def test_a_stopped_series_run_resumes(here):
    waves().to_csv("w.csv", index=False)
    settings = {**SMALL_SERIES, "max_epochs": "4", "checkpoint_every": "2"}
    fit_source("w.csv", settings=settings, out="whole")

    class Stop(BaseException):
        pass

    seen = []

    def stop(trainer, event):
        seen.append(event)
        if seen.count("start") == 2 and trainer.epoch >= 2:  # in the fit for the test part
            raise Stop

    from gradus.training.observers import observed_by

    with pytest.raises(Stop), observed_by(stop):
        fit_source("w.csv", settings=settings, out="part")
    resume_run("part")
    a, b = (load(f"{name}/model").network_.state_dict() for name in ("whole", "part"))
    assert all((a[k] == b[k]).all() for k in a)


def test_the_horizon_is_a_whole_number(here):
    waves().to_csv("w.csv", index=False)
    for wrong in ("0", "two", "-3"):
        with pytest.raises(SettingError, match="horizon of 1 step"):
            fit_source("w.csv", settings={"horizon": wrong}, out="run")
    with pytest.raises(DataError, match="there are: month, sold"):
        fit_source("w.csv", target="price", task="forecast", out="run")


def test_rows_have_no_samples(here):
    fit_source("iris", settings={"max_epochs": "1"}, out="run")
    with pytest.raises(DataError, match="gradus predict"):
        sample_run("run")


@pytest.mark.data
def test_real_sources_are_recognised(data_home, here):
    assert inspect_source(data_home / "timeseries" / "co2.csv.gz")["kind"] == "series"
    assert inspect_source(data_home / "timeseries" / "nile.csv.gz")["kind"] == "series"
    assert inspect_source(data_home / "text" / "tinyshakespeare.txt.gz")["kind"] == "corpus"
    found = inspect_source(data_home / "text" / "sentiment_vader_4domains.tsv.gz", target="mean_rating_-4_4")
    assert (found["kind"], found["text"], found["task"]) == ("texts", "text", "regression")
    for name in ("penguins", "ames", "credit_data"):
        assert inspect_source(data_home / "tabular" / f"{name}.csv.gz")["kind"] == "table"
    words = gzip.decompress((data_home / "text" / "tinyshakespeare.txt.gz").read_bytes())[:40_000]
    Path("part.txt").write_bytes(words)
    assert fit_source("part.txt", settings=SMALL_TEXT, out="run").read_record().chosen == "6-grams"
    assert Path("run/report.html").stat().st_size > 10_000


# ---- pairs of texts ----


def test_pairs_of_texts_are_translated(here):
    words = {"one": "uno", "two": "due", "three": "tre", "cats": "gatti", "dogs": "cani", "see": "vedono"}
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(90):
        who, whom = rng.permutation(["cats", "dogs"])
        a, b = rng.choice(["one", "two", "three"], 2)
        rows.append(f"{a} {who} see {b} {whom}")
    said = [" ".join(words[word] for word in row.split()) for row in rows]
    for row, written in zip(["one", "two", "three", "cats", "dogs", "see"] * 3, list(words.values()) * 3, strict=True):
        rows.append(row)
        said.append(written)
    pd.DataFrame({"english": rows, "italian": said}).to_csv("pairs.csv", index=False)
    settings = {"max_epochs": "2", "width": "16"}
    run = fit_source("pairs.csv", target="italian", task="translate", settings=settings, out="run")
    record = run.read_record()
    assert (record.task, record.data.kind, record.data.roles) == ("translate", "texts", {"text": "english"})
    assert [r.name for r in record.ladder][:2] == ["copy of the source", "word by word"]
    assert record.metric.name == "character_error" and record.rung("word by word").test.value == 0.0
    assert record.chosen == "word by word" and set(record.test_scores) == {"character_error", "exact"}
    Path("new.txt").write_text("three dogs see one cats\n")
    assert predict_run("run", "new.txt")["prediction"].tolist() == ["tre cani vedono uno gatti"]
    assert "Worst answers" in run.report.read_text()
    with pytest.raises(DataError, match="two columns of texts"):
        fit_source("iris", task="translate", out="other")


def test_a_target_of_sentences_is_written_not_chosen(here):
    rows = [f"this is the sentence of number {k} here" for k in range(60)]
    said = [f"ecco la frase che ha numero {k} qui" for k in range(60)]
    pd.DataFrame({"a": rows, "b": said}).to_csv("pairs.csv", index=False)
    assert inspect_source("pairs.csv", target="b")["task"] == "translate"
