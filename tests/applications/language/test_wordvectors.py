"""Skip-gram vectors: the loss by hand, the pairs drawn, what the optimum is, and real text."""

import gzip
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone

from gradus.applications.language.skipgram import (
    ABSENT,
    NegativeSamplingLoss,
    SkipGram,
    SkipGramBatches,
    keep_probabilities,
    neighbours,
)
from gradus.applications.language.wordvectors import WordVectors
from gradus.core.errors import GradusError, InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.networks.softmax import AliasTable

SMALL = {
    "dimension": 8,
    "window": 2,
    "min_count": 1,
    "subsample": 0.0,
    "learning_rate": 0.05,
    "batch_size": 64,
    "max_epochs": 4,
    "random_state": 0,
}
TEXT = "the cat sat on the mat . the dog sat on the log . a cat saw a dog ." * 10


@pytest.fixture(scope="module")
def model():
    return WordVectors(**SMALL).fit(TEXT)


# -- the loss ---------------------------------------------------------------------------------------------------


def test_the_loss_by_hand():
    """Noise is always word 2; the second middle word has one neighbour, the place of the other is empty."""
    network = SkipGram(3, 2).double()
    w = torch.tensor([[1.0, 0.5], [-0.5, 2.0], [0.3, 0.3]], dtype=torch.float64)
    c = torch.tensor([[0.2, -0.4], [1.5, 0.1], [-1.0, 0.7]], dtype=torch.float64)
    with torch.no_grad():
        network.middle.weight.copy_(w)
        network.around.weight.copy_(c)
    batch = {"inputs": torch.tensor([0, 1]), "targets": torch.tensor([[1, 0], [ABSENT, 2]])}
    loss = NegativeSamplingLoss(AliasTable.of([0.0, 0.0, 1.0]), 5.0, 3)(network, batch, generator(0))
    log_sigmoid = torch.nn.functional.logsigmoid
    # pairs (0, 1), (0, 0), (1, 2); each against five words 2
    by_hand = -(log_sigmoid(w[0] @ c[1]) + log_sigmoid(w[0] @ c[0]) + log_sigmoid(w[1] @ c[2]))
    by_hand -= 5 * (2 * log_sigmoid(-w[0] @ c[2]) + log_sigmoid(-w[1] @ c[2]))
    torch.testing.assert_close(loss.total, by_hand)
    assert float(loss.count) == 3
    loss.total.backward()
    # d/dw0 = sum over pairs of (sigmoid(w.c) - 1) c + 5 sigmoid(w.n) n
    s = torch.sigmoid(w @ c.T)
    expected = (s[0, 1] - 1) * c[1] + (s[0, 0] - 1) * c[0] + 2 * 5 * s[0, 2] * c[2]
    torch.testing.assert_close(network.middle.weight.grad[0], expected)
    torch.testing.assert_close(network.around.weight.grad[1], (s[0, 1] - 1) * w[0])


def test_gradients_are_those_of_finite_differences():
    with isolated(0):
        network = SkipGram(6, 3).double()
        torch.nn.init.normal_(network.around.weight)
    batch = neighbours(np.array([0, 1, 2, 3, 4, 5, 1]), np.zeros(7, int), np.arange(7), np.full(7, 2), 2)
    loss = NegativeSamplingLoss(AliasTable.of([5.0, 3, 1, 1, 1, 1], 0.75), 2.5, 7)

    def total(middle, around):
        with torch.nn.utils.stateless._reparametrize_module(
            network, {"middle.weight": middle, "around.weight": around}
        ):
            return loss(network, batch, generator(0)).total

    weights = [w.detach().clone().requires_grad_() for w in (network.middle.weight, network.around.weight)]
    assert torch.autograd.gradcheck(total, weights)


def test_shared_noise_has_the_expectation_of_noise_for_each_pair():
    with isolated(0):
        network = SkipGram(5, 4).double()
        torch.nn.init.normal_(network.around.weight)
    counts, k = np.array([4.0, 3, 2, 1, 1]), 3.0
    batch = {"inputs": torch.tensor([0, 1, 2]), "targets": torch.tensor([[1, 2], [3, ABSENT], [4, 0]])}
    table = AliasTable.of(counts)
    with torch.no_grad():
        found = [float(NegativeSamplingLoss(table, k, 4)(network, batch, generator(s)).total) for s in range(4000)]
        scores = network.middle.weight @ network.around.weight.T
        false = (torch.nn.functional.softplus(scores) * torch.from_numpy(counts / counts.sum())).sum(1)
        pairs = [(0, 1), (0, 2), (1, 3), (2, 4), (2, 0)]
        expected = sum(float(torch.nn.functional.softplus(-scores[w, c]) + k * false[w]) for w, c in pairs)
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 5 * error  # fails by chance once in a million
    assert error < 0.005 * expected


# -- the pairs --------------------------------------------------------------------------------------------------


def pairs_of(batch):
    rows, columns = np.nonzero(batch["targets"].numpy() != ABSENT)
    return list(
        zip(batch["inputs"].numpy()[rows].tolist(), batch["targets"].numpy()[rows, columns].tolist(), strict=True)
    )


def all_pairs(batches, epoch):
    return [pair for batch in batches.epoch(epoch) for pair in pairs_of(batch)]


def test_neighbours_are_those_of_a_loop_and_stay_in_their_text():
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 9, n) for n in (7, 1, 0, 12, 2)]
    batches = SkipGramBatches(texts, np.ones(9), window=3, dynamic=False, batch_size=5)
    expected = Counter(
        (int(text[i]), int(text[j]))
        for text in texts
        for i in range(len(text))
        for j in range(len(text))
        if i != j and abs(i - j) <= 3
    )
    assert Counter(all_pairs(batches, 0)) == expected == Counter(all_pairs(batches, 1))


def test_near_words_come_more_often():
    """A radius drawn from 1 to 4 holds a neighbour at distance d with probability (5 - d) / 4."""
    n = 20_000
    batches = SkipGramBatches([np.arange(n)], np.ones(n), window=4, batch_size=500)
    distances = Counter(abs(a - b) for a, b in all_pairs(batches, 0))
    for d in range(1, 5):
        assert distances[d] / (2 * n) == pytest.approx((5 - d) / 4, abs=0.02)  # six standard deviations


def test_frequent_words_are_dropped_before_windows_are_cut():
    counts = np.array([8000, 1000, 1000])
    keep = keep_probabilities(counts, 0.01)
    np.testing.assert_allclose(keep, np.sqrt([0.0125, 0.1, 0.1]) + np.array([0.0125, 0.1, 0.1]))
    assert keep_probabilities(counts, 0.0).tolist() == [1, 1, 1]
    rng = np.random.default_rng(0)
    words = rng.choice(3, 200_000, p=counts / counts.sum())
    batches = SkipGramBatches([words], keep, window=1, batch_size=1000)
    seen = Counter(middle for middle, _ in all_pairs(batches, 0))
    share = np.array([seen[i] for i in range(3)]) / sum(seen.values())
    np.testing.assert_allclose(share, keep * counts / (keep * counts).sum(), atol=0.015)
    # words 1 and 2 are neighbours across what was dropped: were windows cut first, one pair in a hundred would be
    kept_share = share[1] + share[2]
    rare_pairs = [pair for pair in all_pairs(batches, 0) if 0 not in pair]
    assert len(rare_pairs) / sum(seen.values()) == pytest.approx(kept_share**2, rel=0.1)


def test_an_epoch_goes_on_from_any_step_and_differs_from_the_next():
    texts = [np.arange(50) % 7, np.arange(30) % 5]
    batches = SkipGramBatches(texts, np.full(7, 0.6), window=3, batch_size=8, seed=3)
    whole = list(batches.epoch(2))
    assert len(whole) == len(batches) == len(list(batches.epoch(5)))
    for start in (0, 1, len(batches) - 1):
        for mine, theirs in zip(batches.epoch(2, start), whole[start:], strict=True):
            assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert not all(torch.equal(a["inputs"], b["inputs"]) for a, b in zip(whole, batches.epoch(3), strict=False))


def test_a_step_has_a_pair_even_where_all_was_dropped():
    batches = SkipGramBatches([np.array([1]), np.array([0, 1])], np.full(2, 1e-9), window=2, batch_size=1)
    assert [pairs_of(batch) for batch in batches.epoch(0)] == [[(0, 1)]]


# -- the optimum ------------------------------------------------------------------------------------------------


def test_products_are_pointwise_mutual_information_less_log_k():
    """Levy and Goldberg 2014: with dimensions enough, w.c = log p(c|w) / q(c) - log K at the optimum."""
    rng = np.random.default_rng(0)
    chain = rng.dirichlet(np.full(6, 0.7), 6) * 0.9 + 0.1 / 6
    words, state = [], 0
    for _ in range(3000):
        state = rng.choice(6, p=chain[state])
        words.append("abcdef"[state])
    settings = {"window": 1, "dynamic_window": False, "noise_power": 1.0, "negatives": 3.0, "shared_noise": 200}
    model = WordVectors(**{**SMALL, **settings, "batch_size": 1500, "max_epochs": 300, "average_decay": 0.98})
    model.set_params(schedule="cosine", learning_rate=0.03).fit([words])
    places = {word: i for i, word in enumerate(model.words_)}
    together = np.zeros((6, 6))
    for first, second in itertools.pairwise(words):
        together[places[first], places[second]] += 1
        together[places[second], places[first]] += 1
    q = np.array([words.count(word) for word in model.words_]) / len(words)
    expected = np.log(together / together.sum(1, keepdims=True) / q) - np.log(3.0)
    with torch.no_grad():
        found = (model.network_.middle.weight @ model.network_.around.weight.T).numpy()
    assert np.ptp(expected) > 2
    assert np.abs(found - expected)[together > 30].max() < 0.1


# -- the estimator ----------------------------------------------------------------------------------------------


def test_words_are_those_that_come_often_enough(model):
    # in each sentence the 4, a 2, cat 2, dog 2, sat 2, on 2, and mat, log, saw once
    assert model.words_ == ["the", "a", "cat", "dog", "on", "sat", "log", "mat", "saw"]
    assert model.counts_.tolist() == [40, 20, 20, 20, 20, 20, 10, 10, 10]
    assert set(WordVectors(**{**SMALL, "min_count": 20}).fit(TEXT).words_) == {"the", "a", "cat", "dog", "sat", "on"}
    assert len(WordVectors(**SMALL, vocabulary=3).fit(TEXT).words_) == 3
    assert "The" in WordVectors(**SMALL, lowercase=False).fit("The cat The cat").words_


def test_words_already_split_are_taken_as_they_are(model):
    split = [sentence.split() for sentence in ["the cat", "The . cat"]]
    assert set(WordVectors(**SMALL).fit(split).words_) == {"the", "The", ".", "cat"}


def test_answers_agree_with_the_vectors(model):
    vectors = model.vectors_ / np.linalg.norm(model.vectors_, axis=1, keepdims=True)
    cat, dog = model.words_.index("cat"), model.words_.index("dog")
    assert np.array_equal(model.transform(["dog", "cat"]), model.vectors_[[dog, cat]])
    assert model.similarity("cat", "dog") == pytest.approx(vectors[cat] @ vectors[dog], abs=1e-6)
    found = model.most_similar("cat", 5)
    others = np.delete(vectors @ vectors[cat], cat)
    np.testing.assert_allclose([cosine for _, cosine in found], np.sort(others)[::-1][:5], atol=1e-6)
    assert "cat" not in dict(found) and len(model.most_similar("cat", 1000)) == len(model.words_) - 1
    assert model.most_similar(model.transform(["cat"])[0], 1)[0][0] == "cat"
    the = model.words_.index("the")
    [(word, cosine)] = model.analogy("cat", "dog", "the")
    direction = vectors[dog] - vectors[cat] + vectors[the]
    allowed = [i for i in range(len(vectors)) if i not in (cat, dog, the)]
    best = max(allowed, key=lambda i: vectors[i] @ direction)
    assert word == model.words_[best]
    assert cosine == pytest.approx(vectors[best] @ direction / np.linalg.norm(direction), abs=1e-6)


def test_agreement_is_the_rank_correlation_over_known_pairs(model):
    rated = [("cat", "dog", 9.0), ("cat", "mat", 4.0), ("on", "log", 1.0), ("the", "a", 8.0), ("cat", "tiger", 9.5)]
    found = model.agreement(rated)
    expected = spearmanr([model.similarity(a, b) for a, b, _ in rated[:4]], [9, 4, 1, 8]).statistic
    assert found == (pytest.approx(expected), 4)


def test_a_saved_model_answers_the_same(model, tmp_path):
    again = WordVectors.load(model.save(tmp_path / "vectors"))
    assert again.words_ == model.words_ and np.array_equal(again.vectors_, model.vectors_)
    assert again.most_similar("cat") == model.most_similar("cat")
    assert clone(model).get_params() == model.get_params()


def test_one_seed_gives_the_same_bits():
    first, again = (WordVectors(**SMALL).fit(TEXT) for _ in range(2))
    other = WordVectors(**{**SMALL, "random_state": 1}).fit(TEXT)
    assert np.array_equal(first.vectors_, again.vectors_)
    assert not np.array_equal(first.vectors_, other.vectors_)


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path):
    settings = {**SMALL, "schedule": "constant"}  # the others depend on the budget
    whole = WordVectors(**settings).fit(TEXT)
    first = WordVectors(**settings, max_steps=5, checkpoint=str(tmp_path)).fit(TEXT)
    second = WordVectors(**settings, checkpoint=str(tmp_path)).fit(TEXT)
    assert first.n_steps_ == 5 < second.n_steps_ == whole.n_steps_
    assert np.array_equal(second.vectors_, whole.vectors_)


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}])
def test_validation_is_followed(settings):
    held = {} if settings else {"X_val": "the cat sat on the log . a dog saw a cat ."}
    model = WordVectors(**{**SMALL, "max_epochs": 60}, patience=3, **settings).fit(TEXT, **held)
    losses = [row["valid_loss"] for row in model.history_]
    assert model.best_epoch_ == int(np.argmin(losses)) and losses[model.best_epoch_] < losses[0]
    assert 0.3 < max(row["valid_score"] for row in model.history_) <= 1


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: m.transform(["cats"]), "did you mean 'cat'"),
        (lambda m: m.transform("cat"), "a sequence of words, got one text"),
        (lambda m: m.most_similar("tiger"), "a word that came 1 times or more"),
        (lambda m: m.most_similar("cat", 0), "n of 1 or more"),
        (lambda m: m.most_similar(np.zeros(3)), r"shape \(8,\), got \(3,\)"),
        (lambda m: m.agreement([("cat", "dog", 1.0)]), "three pairs of known words"),
        (lambda m: clone(m).fit("one"), "2 words that come 1 times or more"),
        (lambda m: clone(m).fit(b"one two"), "got bytes"),
        (lambda m: clone(m).fit([1, 2]), "int among them"),
        (lambda m: clone(m).fit([["one"], ["two"]]), "a text of two known words"),
        (lambda m: clone(m).fit(TEXT, X_val="zebra"), "a validation text with two known words"),
        (lambda m: clone(m).set_params(window=0).fit(TEXT), "window to be an integer >= 1"),
        (lambda m: clone(m).set_params(retrain="epochs").fit(TEXT), "retrain='none'"),
    ],
)
def test_bad_input_is_refused(model, act, message):
    with pytest.raises(GradusError, match=message) as caught:
        act(model)
    assert isinstance(caught.value, InputError | SettingError)


# -- real text --------------------------------------------------------------------------------------------------

RELATED = [
    ("mother", "father"),
    ("sister", "brother"),
    ("morning", "evening"),
    ("house", "room"),
    ("letter", "note"),
    ("happy", "pleased"),
    ("man", "woman"),
    ("two", "three"),
    ("thursday", "friday"),
    ("tea", "dinner"),
    ("uncle", "aunt"),
    ("january", "february"),
]


@pytest.mark.data
@pytest.mark.slow
def test_related_words_of_austen_are_near(data_home):
    text = gzip.open(data_home / "text" / "austen.txt.gz", "rt", encoding="utf-8").read()
    model = WordVectors(random_state=0, n_threads=1).fit(text)
    vectors = model.vectors_[:2000] / np.linalg.norm(model.vectors_[:2000], axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    random = (vectors[rng.integers(0, 2000, 5000)] * vectors[rng.integers(0, 2000, 5000)]).sum(1)
    related = [model.similarity(a, b) for a, b in RELATED]
    assert np.mean(related) > random.mean() + 3 * random.std()
    assert min(related) > random.mean()
    assert {"thursday", "tuesday", "wednesday", "saturday", "monday"} & {w for w, _ in model.most_similar("friday", 3)}
    assert "sister" in dict(model.analogy("man", "woman", "brother", 2))
