"""Texts to texts: likelihoods, masks, the search against enumeration, and the sound of English words."""

import copy
import gzip
import math
import pickle
from itertools import product

import numpy as np
import pytest
import torch

from gradus.applications.language.translation import measured, translation_loss
from gradus.applications.language.translator import Translator, edit_distance
from gradus.core.errors import InputError, SettingError

SOURCES = ["ab", "ba", "abc", "cab", "bc", "acb", "c", "bca"] * 8
TARGETS = [text[::-1].upper() for text in SOURCES]
SMALL = {"width": 16, "max_epochs": 40, "learning_rate": 0.02, "dropout": 0.0, "random_state": 0, "n_threads": 1}
NETWORKS = [
    {"network": "gru", "attention": "additive"},
    {"network": "lstm", "attention": "dot"},
    {"network": "gru", "attention": "none"},
    {"network": "transformer", "heads": 2, "learning_rate": 0.01},
]


def small(**settings):
    return Translator(**{**SMALL, "batch_size": 16, **settings})


@pytest.mark.parametrize("settings", NETWORKS)
def test_it_learns_and_answers_each_source_by_itself(settings):
    model = small(**{**settings, "max_epochs": 100}).fit(SOURCES, TARGETS)
    assert model.exact(SOURCES, TARGETS) == model.score(SOURCES, TARGETS) == 1.0
    asked = ["cab", "b", "bcabcab"]
    together, alone = model.candidates(asked), [model.candidates([text])[0] for text in asked]
    for one, other in zip(together, alone, strict=True):
        assert [c.text for c in one] == [c.text for c in other]
        np.testing.assert_allclose(*([c.log_probability for c in each] for each in (one, other)), atol=1e-4)


@pytest.mark.parametrize("settings", NETWORKS)
def test_padding_changes_no_loss(settings):
    model = small(**settings, max_epochs=1).fit(SOURCES, TARGETS)
    network = model.network_.double()
    batch = model._encode(["abc", "b", "cabab"], ["CBA", "", "BA"])
    whole = [float(part.detach()) for part in measured(network, batch)]
    assert whole[1] == 3 + 0 + 2 + 3  # and an end each
    noisy = {**batch, "sources": batch["sources"].clone(), "previous": batch["previous"].clone()}
    noisy["sources"][torch.arange(5) >= batch["lengths"][:, None]] = 2
    noisy["previous"][batch["targets"] < 0] = 1
    assert [float(part.detach()) for part in measured(network, noisy)] == pytest.approx(whole, rel=1e-12)
    parts = [measured(network, model._encode([x], [y])) for x, y in (("abc", "CBA"), ("b", ""), ("cabab", "BA"))]
    assert sum(float(part[0].detach()) for part in parts) == pytest.approx(whole[0], rel=1e-6)
    loss = translation_loss(network, batch, torch.Generator())
    assert float(loss.total.detach()) == pytest.approx(whole[0]) and float(loss.count) == whole[1]


@pytest.mark.parametrize("settings", NETWORKS)
def test_the_search_finds_what_enumeration_finds(settings):
    """Every target of up to two letters, scored under teacher forcing: a wide beam misses none, and agrees on each."""
    model = small(**settings, max_epochs=2).fit(["ab", "ba", "b"] * 6, ["ab", "ba", "b"] * 6)
    model.limit_ = 2  # tokens of an answer
    letters = model.target_tokenizer_.characters
    texts = ["".join(letters_) for n in range(3) for letters_ in product(letters, repeat=n)]
    logs = dict(zip(texts, model.score_samples(["ab"] * len(texts), texts), strict=True))
    found = {c.text: c.log_probability for c in model.candidates(["ab"], beam=30)[0]}
    for text in (text for text in texts if len(text) < 2):
        assert found[text] == pytest.approx(logs[text], abs=1e-4)
    ended = {text: log for text, log in logs.items() if len(text) < 2}
    # A target cut at the limit has no end; its probability is what is left.
    assert sum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-4)
    best = max(found, key=lambda text: found[text])
    assert model.predict(["ab"], beam=30)[0] == best and found[best] >= max(ended.values()) - 1e-4


def test_a_wider_beam_finds_no_less_likely_an_answer_than_the_greedy_one():
    model = small(max_epochs=4).fit(SOURCES, TARGETS)
    asked = ["".join(letters) for letters in product("abc", repeat=4)]
    greedy, wide = (model.candidates(asked, beam=beam) for beam in (1, 200))
    gains = np.array([w[0].log_probability - g[0].log_probability for g, w in zip(greedy, wide, strict=True)])
    assert (gains > -1e-4).all() and (gains > 1e-3).any()
    np.testing.assert_allclose(
        [found[0].log_probability for found in greedy],
        model.score_samples(asked, [found[0].text for found in greedy]),
        atol=1e-3,
    )


def test_attention_maps_have_a_row_for_each_token_written():
    model = small().fit(SOURCES, TARGETS)
    found = model.attention_map("cab")
    assert found.source == ["c", "a", "b"] and found.target == ["B", "A", "C", "end"]
    assert found.weights.shape == (4, 3)
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-5)
    shaped = small(network="transformer", heads=2, max_epochs=1).fit(SOURCES, TARGETS).attention_map("cab", "BA")
    assert shaped.weights.shape == (3, 3) and shaped.target == ["B", "A", "end"]
    np.testing.assert_allclose(shaped.weights.sum(1), 1, atol=1e-5)
    with pytest.raises(SettingError, match="a network with attention"):
        small(attention="none", max_epochs=0).fit(SOURCES, TARGETS).attention_map("cab")


def test_exhibits_show_answers_and_attention():
    model = small(max_epochs=2).fit(SOURCES, TARGETS)
    shown = list(model.exhibits((SOURCES[:4], TARGETS[:4])))
    assert shown[1].table["target"].tolist() == TARGETS[:4]
    assert sum(exhibit.title.startswith("Attention") for exhibit in shown) == 3


def test_words_and_spaces_as_tokens():
    sources = ["the cat sat", "a dog sat", "the dog ran", "a cat ran"] * 10
    targets = ["DH AH0 | K", "AH0 | D", "DH AH0 | D", "AH0 | K"] * 10
    model = small(source_tokens="words", target_tokens="spaces").fit(sources, targets)
    assert model.predict(["the dog sat", "a cat sat"]).tolist() == ["DH AH0 | D", "AH0 | K"]
    assert model.predict(["the emu sat"])[0]  # an unknown word is a token, too


def test_weights_count_as_repetition():
    weights = np.array([2.0, 0.0, 1.0, 3.0] * 4)
    X, y = SOURCES[:16], TARGETS[:16]
    settings = {"max_epochs": 3, "batch_size": 1000}
    weighted = small(**settings).fit(X, y, weights)
    repeated = small(**settings).fit(
        [x for x, w in zip(X, weights, strict=True) for _ in range(int(w))] + X[1:2],
        [t for t, w in zip(y, weights, strict=True) for _ in range(int(w))] + y[1:2],
        [1.0] * int(weights.sum()) + [0.0],
    )
    for one, other in zip(weighted.history_, repeated.history_, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


def test_copies_and_pickles_answer_the_same():
    model = small(max_epochs=2).fit(SOURCES, TARGETS)
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same.candidates(["cab"]) == model.candidates(["cab"])


@pytest.mark.parametrize(
    ("one", "other", "edits"), [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("ab", "ba", 2)]
)
def test_edits(one, other, edits):
    assert edit_distance(one, other) == edits


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="2 targets, got 1"):
        small().fit(["a", "b"], ["c"])
    with pytest.raises(InputError, match="none in source 1"):
        small().fit(["a", ""], ["c", "d"])
    with pytest.raises(InputError, match="a sequence of sources, got one text"):
        small().fit("a", ["c"])
    with pytest.raises(InputError, match="targets y"):
        small().fit(["a"], None)
    model = small(max_epochs=0, network="transformer", heads=2).fit(SOURCES, TARGETS)
    with pytest.raises(SettingError, match="a beam of 1 or more"):
        model.predict(["a"], beam=0)
    with pytest.raises(InputError, match="sources of at most 14 tokens, got 15"):
        model.predict(["a" * 15])


@pytest.mark.data
@pytest.mark.slow
def test_the_sound_of_english_words(data_home):
    """Spelling to phonemes, 12,000 short words: far better than chance, and better by search than greedily."""
    rows = gzip.decompress((data_home / "text" / "cmudict.tsv.gz").read_bytes()).decode().splitlines()[1:]
    pairs = [row.split("\t") for row in rows if row.partition("\t")[0].isalpha()]
    order = np.random.default_rng(0).permutation(len(pairs))[:12_500]
    X, y = ([pairs[i][side] for i in order] for side in (0, 1))
    model = Translator(target_tokens="spaces", attention="dot", width=96, max_epochs=8, random_state=0, n_threads=1)
    model.fit(X[:12_000], y[:12_000])
    greedy, searched = (model.score(X[12_000:], y[12_000:], beam=beam) for beam in (1, 4))
    assert 0.6 < greedy < searched + 0.005
    found = [[c[0].log_probability for c in model.candidates(X[12_000:], beam=beam)] for beam in (1, 4)]
    assert np.mean(found[1]) > np.mean(found[0])
