"""The classical rung for texts: what it counts, and that it is as good as it should be on real sentences."""

import gzip

import numpy as np
import pytest
from sklearn.base import clone

from gradus.applications.language.baselines import text_baseline
from gradus.core.errors import SettingError


@pytest.fixture(scope="module")
def reviews(data_home):
    """Sentences of film reviews and people's ratings of their sentiment, from -4 to 4; the last fifth for testing."""
    path = data_home / "text" / "sentiment_vader_4domains.tsv.gz"
    rows = [line.rstrip("\n").split("\t") for line in gzip.open(path, "rt", encoding="utf-8")][1:]
    rows = [row for row in rows if row[0] == "movieReviewSnippets"]
    order = np.random.default_rng(0).permutation(len(rows))
    texts = np.array([rows[i][3] for i in order], dtype=object)
    ratings = np.array([float(rows[i][2]) for i in order])
    cut = int(0.8 * len(rows))
    return (texts[:cut], ratings[:cut]), (texts[cut:], ratings[cut:])


def test_words_pairs_signs_and_pieces_are_counted():
    model = text_baseline("classification").fit(["not good!", "good it's"], [0, 1])
    terms = set(model["tfidf"].get_feature_names_out())
    assert {"words__not good", "words__!", "words__it's", "characters__goo", "characters__ no"} <= terms
    assert not any(name.startswith("characters__") and len(name.split("__")[1]) > 5 for name in terms)
    words_only = text_baseline("classification", characters=False).fit(["not good!", "good it's"], [0, 1])
    assert set(words_only["tfidf"].get_feature_names_out()) == {t for t in terms if t.startswith("words__")}


def test_rows_are_of_length_one_and_repetition_is_damped():
    model = text_baseline("classification", characters=False).fit(["a b", "b c"], [0, 1])
    rows = model["tfidf"].transform(["a b", "a a a a b", "zzz"]).toarray()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 0], atol=1e-12)
    place = list(model["tfidf"].get_feature_names_out()).index
    once, often = (row[place("words__a")] / row[place("words__b")] for row in rows[:2])
    np.testing.assert_allclose(often / once, 1 + np.log(4))


def test_unseen_and_empty_texts_get_an_answer_and_it_is_cloned_unfitted():
    model = text_baseline("regression").fit(["low", "high", "low low", "high high"], [0.0, 10.0, 0.0, 10.0])
    low, high, strange, empty = model.predict(["low", "high", "日本", ""])
    assert low < 2 < 8 < high
    assert strange == pytest.approx(5) and empty == pytest.approx(5)  # the mean
    assert not hasattr(clone(model)["model"], "coef_")


def test_an_unknown_task_is_refused():
    with pytest.raises(SettingError, match="did you mean 'classification'"):
        text_baseline("classify")


@pytest.mark.data
def test_words_alone_on_film_reviews(reviews):
    (texts, ratings), (held, truth) = reviews
    model = text_baseline("classification", characters=False).fit(texts, ratings > 0)
    assert 0.77 < model.score(held, truth > 0) < 0.82  # 0.790 measured; 0.506 for the larger class


@pytest.mark.data
@pytest.mark.slow
def test_pieces_of_words_help_on_film_reviews(reviews):
    (texts, ratings), (held, truth) = reviews
    assert text_baseline("classification").fit(texts, ratings > 0).score(held, truth > 0) > 0.79  # 0.802 measured
    with_pieces, without = (
        text_baseline("regression", characters=c).fit(texts, ratings).score(held, truth) for c in (True, False)
    )
    assert with_pieces > 0.51 and with_pieces > without + 0.02  # 0.534 and 0.493 measured
