"""The lexicon learned by EM against a hand-enumerated model, and what it must not do."""

import itertools

import numpy as np
import pytest

from gradus.applications.language.lexicon import Copy, LexiconTranslator
from gradus.core.errors import InputError

PAIRS = (["the house", "the book", "a book"], ["das Haus", "das Buch", "ein Buch"])


def em_by_enumeration(sources, targets, rounds):
    """IBM model 1 over every alignment of every pair, in plain Python."""
    cut = [(["", *s.split()], t.split()) for s, t in zip(sources, targets, strict=True)]
    words = sorted({w for _, t in cut for w in t})
    table = {}
    for source, target in cut:
        for pair in itertools.product(source, target):
            table[pair] = 1 / len(words)
    told = []
    for _ in range(rounds):
        counts, total = dict.fromkeys(table, 0.0), 0.0
        for source, target in cut:
            ways = list(itertools.product(range(len(source)), repeat=len(target)))
            weights = [np.prod([table[source[i], target[j]] for j, i in enumerate(way)]) for way in ways]
            total += np.log(sum(weights))
            for way, weight in zip(ways, weights, strict=True):
                for j, i in enumerate(way):
                    counts[source[i], target[j]] += weight / sum(weights)
        sums = {}
        for (source, _), count in counts.items():
            sums[source] = sums.get(source, 0.0) + count
        table = {pair: count / sums[pair[0]] for pair, count in counts.items()}
        told.append(total)
    return table, told


def test_em_equals_enumeration_over_all_alignments():
    model = LexiconTranslator(rounds=6).fit(*PAIRS)
    table, told = em_by_enumeration(*PAIRS, 6)
    assert model.log_likelihoods_ == pytest.approx(told, rel=1e-10)
    for word in ("the", "house", "a", "book"):
        assert model.words_[word] == max((t for s, t in table if s == word), key=lambda t: table[word, t])


def test_the_likelihood_never_falls():
    rng = np.random.default_rng(0)
    sources = [" ".join(rng.choice(list("abcdefg"), 5)) for _ in range(40)]
    targets = [" ".join(word.upper() for word in rng.permutation(text.split())) for text in sources]
    model = LexiconTranslator(rounds=30).fit(sources, targets)
    assert (np.diff(model.log_likelihoods_) > -1e-9).all()
    assert model.predict(["a c g"]).tolist() == ["A C G"]


def test_texts_without_spaces_are_cut_into_characters_and_unknown_ones_stay():
    model = LexiconTranslator().fit(["ab", "ba", "bc"] * 3, ["12", "21", "23"] * 3)
    assert model.predict(["cab", "xa"]).tolist() == ["312", "x1"]


def test_it_is_saved_and_refuses_what_does_not_pair(tmp_path):
    model = LexiconTranslator().fit(*PAIRS)
    model.save(tmp_path / "m")
    assert LexiconTranslator.load(tmp_path / "m").predict(["a house"]).tolist() == ["ein Haus"]
    with pytest.raises(InputError, match="2 targets"):
        LexiconTranslator().fit(["a", "b"], ["c"])
    assert Copy().fit(["a"], ["b"]).predict(["x"]).tolist() == ["x"]
