"""Texts to classes and numbers: what is read, what padding may not change, and that order is used."""

import gzip

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from gradus.applications.language.classifier import TextClassifier, TextRegressor
from gradus.core.errors import InputError, SettingError
from gradus.estimators.persistence import load
from gradus.networks.texts import TEXT_NETWORKS, TextNetwork

SMALL = {"width": 16, "heads": 2, "max_epochs": 40, "learning_rate": 0.02, "batch_size": 16, "random_state": 0}
# The same words in two orders: only a network that sees order can tell them apart.
ORDER = ["dog bites man", "man bites dog", "the dog bites the man", "the man bites the dog"] * 8
WHO = ["dog", "man", "dog", "man"] * 8


def small(cls=TextClassifier, **settings):
    return cls(**{**SMALL, "dropout": 0.0, "n_threads": 1, **settings})


@pytest.mark.parametrize("network", ["gru", "lstm", "transformer"])
def test_order_is_read(network):
    model = small(network=network).fit(ORDER, WHO)
    assert model.score(ORDER, WHO) == 1.0


def test_a_bag_is_blind_to_order():
    model = small(network="bag").fit(ORDER, WHO)
    one, other = model.predict_proba(["dog bites man", "man bites dog"])
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("network", TEXT_NETWORKS)
def test_padding_changes_nothing(network):
    torch.manual_seed(0)
    body = TextNetwork(20, network, width=8, heads=2, context=12).eval()
    tokens, lengths = torch.randint(20, (3, 5)), torch.tensor([5, 2, 1])
    alone = torch.cat([body(row[None, :n], torch.tensor([n])) for row, n in zip(tokens, lengths, strict=True)])
    torch.testing.assert_close(body(tokens, lengths), alone)
    longer = torch.cat([tokens, torch.randint(20, (3, 4))], 1)
    torch.testing.assert_close(body(longer, lengths), alone)


def test_a_bag_is_the_mean_of_embeddings():
    body = TextNetwork(10, "bag", width=4).eval()
    expected = body.embedding.weight[[1, 2]].mean(0)
    torch.testing.assert_close(body(torch.tensor([[1, 2, 7]]), torch.tensor([2]))[0], expected)


def test_texts_come_as_lists_arrays_and_columns():
    model = small(network="bag").fit(ORDER, WHO)
    expected = model.predict_proba(ORDER)
    for form in (np.array(ORDER), np.array(ORDER, dtype=object), pd.Series(ORDER), tuple(ORDER)):
        np.testing.assert_array_equal(model.predict_proba(form), expected)
    assert model.predict(["", "words nobody has seen"]).shape == (2,)


def test_what_lies_beyond_the_context_is_not_looked_at():
    model = small(context=2, max_epochs=2).fit(ORDER, WHO)
    one, other = model.predict_proba(["dog bites man", "dog bites everybody"])
    np.testing.assert_array_equal(one, other)


def test_numbers_from_texts():
    texts = ["one", "two", "three", "one and one", "two and one"] * 8
    y = np.array([1.0, 2, 3, 2, 3] * 8)
    model = small(TextRegressor, max_epochs=80).fit(texts, y)
    assert model.score(texts, y) > 0.9
    assert model.predict_distribution(["two"]).mean.item() == pytest.approx(2, abs=0.3)


def test_saved_cloned_and_cross_validated(tmp_path):
    model = small(network="bag", max_epochs=5).fit(ORDER, WHO)
    again = load(model.save(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(ORDER), model.predict_proba(ORDER))
    assert not hasattr(clone(model), "network_")
    assert len(cross_val_score(small(network="bag", max_epochs=2), ORDER, WHO, cv=2)) == 2


def test_wrong_input():
    with pytest.raises(InputError, match="a sequence of texts, got one text"):
        small().fit("dog", ["d", "o", "g"])
    with pytest.raises(InputError, match="float"):
        small().fit([*ORDER[:3], float("nan")], WHO[:4])
    with pytest.raises(ValueError, match=r"samples|rows"):
        small().fit(ORDER, WHO[:-1])
    with pytest.raises(SettingError, match="network"):
        small(network="cnn").fit(ORDER, WHO)
    with pytest.raises(SettingError, match="an even width"):
        small(width=15).fit(ORDER, WHO)


@pytest.mark.data
def test_films_are_judged_better_than_by_a_guess(data_home):
    """Movie sentences with mean ratings of 20 people (the VADER data): sign of the rating."""
    path = data_home / "text" / "sentiment_vader_4domains.tsv.gz"
    with gzip.open(path, "rt") as source:
        table = pd.read_csv(source, sep="\t", quoting=3)
    table = table[table["domain"].str.startswith("movie")].sample(3000, random_state=0)
    y = np.where(table["mean_rating_-4_4"] > 0, "good", "bad")
    model = TextClassifier(network="bag", max_epochs=12, learning_rate=0.01, random_state=0)
    model.fit(table["text"][:2400], y[:2400])
    guess = max((y[2400:] == "good").mean(), (y[2400:] == "bad").mean())
    assert model.score(table["text"][2400:], y[2400:]) > guess + 0.1
