"""A label for each token: masks, padding, unknown tokens, chains, and the word boundaries of a novel."""

import copy
import gzip
import pickle
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from gradus.applications.language.tagger import SequenceTagger, _measured, tagging_loss
from gradus.applications.language.tagging import Tagging
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated

WORDS = [["the", "cat", "sat"], ["the", "dog", "sat", "down"], ["dog", "sat"], ["the", "cat"]] * 6
LABELS = [["D", "N", "V"], ["D", "N", "V", "P"], ["N", "V"], ["D", "N"]] * 6
SMALL = {"width": 16, "max_epochs": 25, "learning_rate": 0.03, "dropout": 0.0, "random_state": 0, "n_threads": 1}


def small(**settings):
    return SequenceTagger(**{**SMALL, **settings})


@pytest.mark.parametrize("network", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize("structured", [False, True])
def test_padding_changes_no_score_and_no_gradient(network, structured):
    with isolated(0):
        body = Tagging(9, 3, network, width=8, heads=2, layers=2, structured=structured).double().eval()
    tokens = torch.randint(9, (3, 6), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([6, 2, 4])
    targets = torch.tensor([[0, 1, 2, -1, 1, 0], [2, 0, -1, -1, -1, -1], [1, 1, 0, 2, -1, -1]])
    losses = []
    for fill in (0, 8):
        padded = torch.where(torch.arange(6) < lengths[:, None], tokens, fill)
        loss = tagging_loss(body, {"inputs": padded, "lengths": lengths, "targets": targets}, torch.Generator())
        losses.append((float(loss.total.detach()), torch.autograd.grad(loss.total, body.output.weight)[0]))
        assert float(loss.count) == 11  # of 12 tokens one has no label
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-12)
    torch.testing.assert_close(losses[0][1], losses[1][1])
    alone = [
        _measured(body, {"inputs": tokens[i : i + 1, :n], "lengths": lengths[i : i + 1], "targets": targets[i : i + 1]})
        for i, n in enumerate(lengths.tolist())
    ]
    assert sum(float(part[0].detach()) for part in alone) == pytest.approx(losses[0][0], rel=1e-10)


@pytest.mark.parametrize("network", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize("structured", [False, True])
def test_it_learns_and_answers_each_sequence_by_itself(network, structured):
    model = small(network=network, structured=structured).fit(WORDS, LABELS)
    assert model.score(WORDS, LABELS) == 1.0
    together = model.predict_proba([["the", "cat", "sat", "down"], ["dog"]])
    alone = model.predict_proba([["dog"]])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)
    assert [p.shape for p in together] == [(4, 4), (1, 4)]
    np.testing.assert_allclose(together[0].sum(1), 1, atol=1e-5)
    assert model.predict([["dog", "sat"], ["the", "cat", "sat", "down"]]) == [["N", "V"], ["D", "N", "V", "P"]]
    assert model.predict(["the cat sat down"]) == [["D", "N", "V", "P"]]  # a text is cut at white space


def test_labels_that_only_follow_from_what_comes_later():
    """The first token's label is the last token: one direction could not know it."""
    rng = np.random.default_rng(0)
    X = [rng.integers(0, 4, size=rng.integers(3, 8)) for _ in range(500)]
    y = [[int(row[-1]), *([0] * (len(row) - 1))] for row in X]
    assert small(width=32, learning_rate=0.01).fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.95


def test_a_chain_learns_what_single_labels_cannot():
    """Every token is the same; labels alternate from a random first one, which nothing tells."""
    X, y = [["a"] * 6] * 60, [list("010101"), list("101010")] * 30
    chained = small(structured=True, max_epochs=120).fit(X, y)
    assert "".join(chained.predict(X[:1])[0]) in ("010101", "101010")
    assert np.allclose(chained.predict_proba(X[:1])[0], 0.5, atol=0.1)
    batch = chained._encode(X, y)
    assert chained._evaluate(batch, chained.network_)["loss"] * 6 == pytest.approx(
        np.log(2), abs=0.15
    )  # of single labels, log 64


def test_tokens_without_a_label_teach_nothing_and_do_not_count():
    y = [[label if label != "N" else None for label in row] for row in LABELS]
    model = small().fit(WORDS, y)
    assert "N" not in model.classes_ and model.score(WORDS, y) == 1.0
    assert model.score([["the", "cat"]], [["D", None]]) == 1.0


def test_weights_count_as_repetition():
    weights = np.array([2.0, 1.0, 0.0, 3.0] * 6)
    X = [row for row, w in zip(WORDS, weights, strict=True) for _ in range(int(w))]
    y = [row for row, w in zip(LABELS, weights, strict=True) for _ in range(int(w))]
    settings = {"max_epochs": 3, "batch_size": 1000, "min_count": 1, "vocabulary": 50}
    weighted, repeated = small(**settings).fit(WORDS, LABELS, weights), small(**settings).fit(X, y)
    # The same words in another order of frequency would have other numbers, and so other first embeddings.
    if weighted.tokens_ == repeated.tokens_:
        np.testing.assert_allclose(weighted.history_[-1]["loss"], repeated.history_[-1]["loss"], rtol=1e-5)
    assert weighted.score(WORDS, LABELS, weights) == pytest.approx(weighted.score(X, y))


def test_features_instead_of_tokens():
    rng = np.random.default_rng(1)
    X = [rng.normal(size=(n, 3)) * [1, 100, 0] for n in rng.integers(2, 9, size=120)]
    y = [["up" if value > 0 else "down" for value in row[:, 1]] for row in X]
    model = small(max_epochs=20).fit(X[:90], y[:90])
    assert model.score(X[90:], y[90:]) > 0.93
    with pytest.raises(InputError, match="features of width 3, as in fit, got tokens"):
        model.predict([["the"]])


def test_unknown_tokens_are_read_as_one():
    model = small(min_count=2).fit([*WORDS, ["the", "emu"]], [*LABELS, ["D", "N"]])
    assert "emu" not in model.tokens_
    np.testing.assert_array_equal(model.predict_proba([["the", "gnu"]])[0], model.predict_proba([["the", "emu"]])[0])


@pytest.mark.parametrize("structured", [False, True])
def test_copies_and_pickles_answer_the_same(structured):
    model = small(structured=structured, max_epochs=3).fit(WORDS, LABELS)
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(same.predict_proba(WORDS[:1])[0], model.predict_proba(WORDS[:1])[0])


def test_exhibits_count_every_labelled_token():
    model = small(max_epochs=3).fit(WORDS, LABELS)
    shown = {exhibit.title: exhibit for exhibit in model.exhibits((WORDS, LABELS))}
    assert shown["Class by class"].table["true rows"].sum() == sum(map(len, LABELS))


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="3 labels, one a token, got 2 for sequence 0"):
        small().fit([["a", "b", "c"]], [["x", "y"]])
    with pytest.raises(InputError, match="two labels or more, all text or all numbers, got 'x'"):
        small().fit([["a"]], [["x"]])
    with pytest.raises(InputError, match="none in sequence 1"):
        small().fit(["a b", " "], [["x", "y"], []])
    with pytest.raises(InputError, match="a sequence of sequences, got one text"):
        small().fit("a b", [["x", "y"]])
    with pytest.raises(InputError, match="labels of 1 sequences, got 2"):
        small().fit([["a"]], [["x"], ["y"]])
    with pytest.raises(InputError, match="labels y"):
        small().fit([["a"]], None)
    with pytest.raises(SettingError, match="an even width"):
        small(width=15).fit(WORDS, LABELS)
    with pytest.raises(InputError, match="sequences of at most context=3 tokens, got 4"):
        small(network="transformer", context=3).fit(WORDS, LABELS)
    model = small(max_epochs=0).fit(WORDS, LABELS)
    with pytest.raises(InputError, match="labels among the 4 of fit, got 'X'"):
        model._encode([["the"]], [["X"]])


def unspaced(home, n):
    """Return sentences of a novel without their spaces, and for each letter whether a space followed."""
    text = gzip.decompress((home / "text" / "austen.txt.gz").read_bytes()).decode()
    start = text.index("CHAPTER 1")
    words = text[start : start + 60 * n].split()
    X, y = [], []
    for i in range(0, len(words) - 10, 10):
        group = words[i : i + 10]
        X.append("".join(group))
        y.append("".join("0" * (len(word) - 1) + "1" for word in group))
    return X[:n], y[:n]


@pytest.mark.data
def test_word_boundaries_of_a_novel(data_home):
    """Against the likeliest label for a letter between its neighbours, and against saying no boundary at all."""
    X, y = unspaced(data_home, 900)
    counts = defaultdict(Counter)
    for text, labels in zip(X[:800], y[:800], strict=True):
        for i, label in enumerate(labels):
            counts[text[max(0, i - 1) : i + 3]][label] += 1
    right = total = never = 0
    for text, labels in zip(X[800:], y[800:], strict=True):
        for i, label in enumerate(labels):
            found = counts.get(text[max(0, i - 1) : i + 3])
            right += ("0" if not found else found.most_common(1)[0][0]) == label
            never += label == "0"
            total += 1
    model = small(cut="characters", width=64, max_epochs=6, learning_rate=0.01, random_state=0)
    score = model.fit(X[:800], y[:800]).score(X[800:], y[800:])
    assert score > right / total + 0.01 > never / total + 0.02
