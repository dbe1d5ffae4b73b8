"""Round trips over any text, ids against what the encodings say, and what bad input gets."""

import builtins
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradus.applications.language.tokenizers import (
    TOKENIZERS,
    BytePairTokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    SpaceTokenizer,
    Tokenizer,
    WordTokenizer,
    count_bytes,
    fit_tokenizer,
)
from gradus.core.errors import InputError, MissingExtraError, SettingError

TEXTS = ["the cat sat on the mat, the dog on the cat", "héllo wörld 漢字 😀\r\n\tthe end"] * 3
surrogates = st.text(st.characters(codec=None, categories=None), max_size=40)


@pytest.fixture(scope="module")
def pairs():
    pytest.importorskip("tokenizers", reason="needs the extra language")
    return BytePairTokenizer.fit(TEXTS, 280)


def every():
    pytest.importorskip("tokenizers", reason="needs the extra language")
    return {kind: fit_tokenizer(kind, TEXTS, size=300) for kind in TOKENIZERS}


@given(surrogates)
@settings(max_examples=200, deadline=None)
def test_bytes_round_trip_any_string(text):
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids.tolist() == list(text.encode("utf-8", "surrogatepass")) and len(ids) == count_bytes(text)


@given(surrogates, st.text(max_size=5))
@settings(max_examples=200, deadline=None)
def test_characters_round_trip_the_texts_they_were_fitted_on(text, other):
    if not text:
        return
    tokenizer = CharacterTokenizer.fit([text, other])
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.tokens(tokenizer.encode(text)) == list(text)
    assert tokenizer.size == len(set(text + other))


def test_byte_pairs_round_trip_any_string(pairs):
    @given(st.text(max_size=60))
    @settings(max_examples=300, deadline=None)
    def check(text):
        assert pairs.decode(pairs.encode(text)) == text

    check()
    assert pairs.decode(pairs.encode(" \r\n\0 \u2028 a  b\ufeff ")) == " \r\n\0 \u2028 a  b\ufeff "


def test_byte_pairs_merge_the_most_frequent_pair_first():
    # "ab" comes nine times, "bc" twice: after 256 bytes the one merge there is room for is a b
    pytest.importorskip("tokenizers", reason="needs the extra language")
    tokenizer = BytePairTokenizer.fit(["abababab", "bc bc abab abab ab"], 257)
    assert tokenizer.merges == ["a b"] and tokenizer.size == 257
    assert tokenizer.tokens(tokenizer.encode("abcab")) == ["ab", "c", "ab"]


def test_byte_pairs_shorten_the_text_and_are_learned_the_same_twice(pairs):
    assert pairs.size == 280
    assert len(pairs.encode(TEXTS[0])) < 0.7 * count_bytes(TEXTS[0])
    assert BytePairTokenizer.fit(TEXTS, 280) == pairs


def test_half_a_character_decodes_to_the_replacement_sign(pairs):
    for tokenizer in (pairs, ByteTokenizer()):
        ids = tokenizer.encode("漢")
        assert tokenizer.decode(ids[:-1]) == "\ufffd"


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_plain_data_makes_the_same_tokenizer(kind):
    tokenizer = every()[kind]
    plain = json.loads(json.dumps(tokenizer.to_dict()))
    for same in (Tokenizer.from_dict(plain), pickle.loads(pickle.dumps(tokenizer))):
        assert same == tokenizer and same.size == tokenizer.size and same.lossless == tokenizer.lossless
        ids = same.encode(TEXTS[1])
        assert ids.dtype == np.int64 and np.array_equal(ids, tokenizer.encode(TEXTS[1]))
        assert 0 <= ids.min() and ids.max() < same.size
        assert (same.decode(ids) == TEXTS[1]) == same.lossless
        assert len(same.tokens(ids)) == len(ids)
        assert same.encode("").shape == (0,) and same.decode([]) == ""


def test_unknown_characters_are_refused_or_mapped():
    strict = fit_tokenizer("characters", ["abc"])
    with pytest.raises(InputError, match="one of the 3 known characters, got 'z'; fit on a text that has it"):
        strict.encode("abzc")
    mapped = fit_tokenizer("characters", ["abc"], unknown=True)
    assert mapped.size == 4 and mapped.decode(mapped.encode("azcy")) == "a\ufffdc\ufffd"
    assert strict.lossless and not mapped.lossless


def test_words_keep_apostrophes_and_signs_and_lower_capitals():
    tokenizer = WordTokenizer.fit(["Don't stop, don't!"])
    assert tokenizer.words == ["don't", "!", ",", "stop"]  # by count, then by alphabet
    assert tokenizer.tokens(tokenizer.encode("DON'T go !")) == ["don't", "<unk>", "!"]
    assert WordTokenizer.fit(["Don't don't"], lowercase=False).words == ["Don't", "don't"]
    assert WordTokenizer.fit(["a a b"], min_count=2).words == ["a"]


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([-1], r"ids in \[0, \d+\), got -1"),
        ([0, 10_000], r"ids in \[0, \d+\), got 10000"),
        ([0.5], "whole numbers, got float64"),
        ([[0]], r"of shape \(n,\)"),
    ],
)
def test_bad_ids_are_refused(kind, ids, message):
    with pytest.raises(InputError, match=message):
        every()[kind].decode(ids)


def test_other_bad_input_is_refused(pairs):
    with pytest.raises(InputError, match="a text to encode, got bytes"):
        ByteTokenizer().encode(b"raw")
    with pytest.raises(InputError, match="lone surrogate"):
        pairs.encode("\ud800")
    with pytest.raises(InputError, match="different characters"):
        CharacterTokenizer("aa")
    with pytest.raises(InputError, match="unknown to be one of the characters"):
        CharacterTokenizer("ab", unknown="c")
    with pytest.raises(InputError, match="merges of known tokens"):
        BytePairTokenizer(["a", "b"], ["x y"])
    with pytest.raises(SettingError, match="257 tokens or more, got 256"):
        BytePairTokenizer.fit(TEXTS, 256)
    with pytest.raises(SettingError, match="2 words or more"):
        WordTokenizer.fit(TEXTS, 1)
    with pytest.raises(SettingError, match="did you mean 'characters'"):
        fit_tokenizer("character", TEXTS)
    with pytest.raises(InputError, match="texts to learn a tokenizer from"):
        fit_tokenizer("bytes", ["", ""])


@pytest.mark.parametrize("plain", [{}, {"kind": "?"}, {"kind": "words", "sizes": 3}, {"kind": "words", "words": 3}])
def test_wrong_descriptions_are_refused(plain):
    with pytest.raises(InputError):
        Tokenizer.from_dict(plain)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtraError, match=r"pip install 'gradus-dl\[language\]'"):
        fit_tokenizer("byte_pair", TEXTS)
    assert fit_tokenizer("bytes", TEXTS).size == 256


def test_spaces_leave_tokens_as_they_are_cut():
    tokenizer = SpaceTokenizer.fit(["K AE1 T", "k\tAA1  T"])
    assert tokenizer.words == ["T", "AA1", "AE1", "K", "k"]  # by count, then by code point
    assert tokenizer.tokens(tokenizer.encode("T K? k")) == ["T", "<unk>", "k"]
    assert SpaceTokenizer.fit(["a a b c"], size=2).words == ["a"]
    with pytest.raises(SettingError, match="a vocabulary of 2 tokens or more"):
        SpaceTokenizer.fit(["a"], size=1)
