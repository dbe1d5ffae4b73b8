"""The neural language model: what it counts, that it learns, continues, keeps and resumes."""

import math

import numpy as np
import pytest
import torch

from gradus.applications.language.model import LanguageModel
from gradus.applications.language.neural import _covering
from gradus.core.errors import InputError, SettingError
from gradus.estimators.persistence import load
from gradus.training.observers import observed_by

TEXT = "the cat sat on the mat. the dog sat on the log. " * 12
SMALL = {"context": 12, "width": 16, "layers": 1, "heads": 2, "learning_rate": 0.01, "random_state": 0, "n_threads": 1}


def small(**settings):
    return LanguageModel(**{**SMALL, "max_epochs": 15, "batch_size": 8, **settings})


@pytest.fixture(scope="module")
def fitted():
    return small(max_epochs=60).fit(TEXT)


@pytest.mark.parametrize(("n", "length", "step"), [(5, 12, 6), (12, 12, 12), (13, 12, 6), (40, 12, 6), (40, 7, 7)])
def test_windows_that_cover_count_every_target_once(n, length, step):
    batch = _covering(torch.arange(n + 1), length, step=step)
    counted = batch["targets"][batch["counts"] > 0]
    assert sorted(counted.tolist()) == list(range(1, n + 1))
    if n > length:  # beyond the first window, a token that counts has seen at least length - step before it
        places = (batch["counts"][1:] > 0).float().argmax(1)
        assert int(places.min()) >= length - step


def test_an_untrained_model_knows_nothing_and_a_trained_one_the_text(fitted):
    tokens = fitted.tokenizer_.size + 1
    begin = small(max_epochs=0).fit(TEXT)
    # A narrow network begins sure of something, and wrong: worse than knowing nothing, but not by much.
    assert 0.75 * tokens < begin.perplexity(TEXT) < 2 * tokens
    assert fitted.perplexity("the dog sat on the mat. ") < 2.2
    assert fitted.score("zzz") < fitted.score("the")


def test_scores_are_log_likelihoods_in_nats(fitted):
    """The chain rule: a text's score is the sum of its tokens' log-probabilities, one by one."""
    text = "the cat"
    tokens = fitted._tokens([text])
    total = 0.0
    for t in range(1, len(tokens)):
        with torch.inference_mode():
            logits = fitted.network_(tokens[None, :t])[0, -1]
        total += float(logits.log_softmax(0)[tokens[t]])
    assert fitted.score_samples(text)[0] == pytest.approx(total, abs=1e-4)
    assert fitted.score(text) == pytest.approx(total / 7, abs=1e-5)
    assert fitted.perplexity(text) == pytest.approx(math.exp(-total / 7), rel=1e-4)
    assert fitted.bits_per_byte("the cat") == pytest.approx(-total / 7 / math.log(2), rel=1e-4)
    assert fitted.bits_per_byte(["über", "über"]) == pytest.approx(
        -fitted.score_samples("über")[0] / math.log(2) / len("über".encode()), rel=1e-5
    )


def test_each_token_has_its_own_probability(fitted):
    """Also beyond the context, where windows overlap: by hand, from the window that predicts the token."""
    text = TEXT[:60]
    (logs,) = fitted.token_log_probabilities(text)
    assert logs.shape == (60,) and logs.sum() == pytest.approx(fitted.score_samples(text)[0], rel=1e-9)
    tokens = fitted._tokens([text])
    for place in (1, 12, 13, 20):  # targets; windows of 12 begin at 0, 6, 12, ...
        begin = 0 if place <= 12 else -(-(place - 12) // 6) * 6
        with torch.inference_mode():
            logits = fitted.network_(tokens[None, begin:place])[0, -1]
        assert logs[place - 1] == pytest.approx(float(logits.log_softmax(0)[tokens[place]]), abs=1e-4)


@pytest.mark.parametrize("settings", [{"activation": "swiglu", "normalization": "rms"}, {"positions": "learned"}])
def test_settings_of_the_blocks(settings):
    model = small(max_epochs=60, **settings).fit(TEXT)
    assert model.perplexity("the dog sat on the mat. ") < 2.2
    assert len(model.sample(prompt="the ", length=40, random_state=0)[0]) > 12  # past the context


@pytest.mark.parametrize("network", ["transformer", "lstm", "gru", "rnn"])
def test_probabilities_of_all_continuations_sum_to_one(network):
    model = small(network=network, max_epochs=2).fit("abba abab baba " * 20)
    letters = [*model.tokenizer_.characters]
    first = np.exp(model.score_samples([a for a in letters])).sum()
    ended = 1 - first  # the text may also end at once
    assert 0 <= ended < 1
    pairs = np.exp(model.score_samples(["a" + b for b in letters])).sum()
    assert pairs <= np.exp(model.score_samples("a"))[0] <= pairs + 0.9


@pytest.mark.parametrize("network", ["transformer", "lstm"])
def test_greedy_samples_follow_the_likeliest_token_also_beyond_the_context(network):
    model = small(network=network, max_epochs=20).fit(TEXT)
    answer = model.sample(prompt="the ", length=8, temperature=0.0)[0]
    tokens = model._tokens(["the "])
    with torch.inference_mode():
        for _ in range(8):
            logits = model.network_(tokens[None])[0, -1]
            tokens = torch.cat([tokens, logits.argmax()[None]])
    assert answer == model.tokenizer_.decode(tokens[1:].numpy())
    assert len(model.sample(prompt="the ", length=50, temperature=0.0)[0]) <= 54  # four contexts long


def test_samples_are_drawn_by_the_seed(fitted):
    drawn = fitted.sample(8, length=30, random_state=5)
    assert fitted.sample(8, length=30, random_state=5) == drawn
    assert len(set(drawn)) > 1 and fitted.sample(8, length=30, random_state=6) != drawn
    before = torch.get_rng_state()
    fitted.sample(length=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(text.startswith("the c") for text in fitted.sample(3, prompt="the c", length=3))


def test_several_texts_end(fitted):
    model = small(max_epochs=80).fit(["ab", "abc"] * 60)
    drawn = model.sample(40, length=10, random_state=0)
    assert set(drawn) <= {"ab", "abc"} | {text for text in drawn if len(text) < 6}
    assert drawn.count("ab") + drawn.count("abc") > 30


@pytest.mark.parametrize("tokens", ["bytes", "words", "characters"])
def test_every_cut_of_the_text(tokens):
    model = small(tokens=tokens, max_epochs=3, context=8, vocabulary=20).fit(TEXT)
    assert np.isfinite(model.score_samples(["the cat", "zebra é"])).all()
    assert isinstance(model.sample(prompt="the", length=5, random_state=0)[0], str)


def test_validation_text_stops_early_and_the_best_weights_come_back():
    model = small(max_epochs=60, patience=3).fit(TEXT, X_val="the log sat on the cat. " * 3)
    assert model.stopped_by_ == "early_stopping"
    best = min(row["valid_loss"] for row in model.history_)
    batch = model._encode("the log sat on the cat. " * 3)
    with torch.inference_mode():
        assert model._evaluate(batch, model.network_)["loss"] == pytest.approx(best, rel=1e-5)


def test_the_end_is_held_out_where_early_stopping_asks_for_it():
    model = small(early_stopping=True, max_epochs=2, validation_fraction=0.2).fit(TEXT)
    assert "valid_loss" in model.history_[0]
    assert model.n_steps_ == 2 * -(-((int(len(TEXT) * 0.8) + 1 - 12) // 12) // 8)


@pytest.mark.parametrize("network", ["transformer", "gru"])
def test_saved_and_loaded_it_is_the_same(network, tmp_path):
    model = small(network=network, max_epochs=2).fit(TEXT)
    again = load(model.save(tmp_path / "model"))
    assert again.sample(length=20, random_state=1) == model.sample(length=20, random_state=1)
    np.testing.assert_array_equal(again.score_samples("the cat"), model.score_samples("the cat"))


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path):
    class Stop(Exception):
        pass

    def crash(trainer, event):
        if event == "epoch" and trainer.epoch == 2:
            raise Stop

    settings = {"dropout": 0.2, "max_epochs": 4, "network": "transformer"}
    whole = small(**settings).fit(TEXT)
    kept = {**settings, "checkpoint": str(tmp_path), "checkpoint_every": 3}
    with pytest.raises(Stop), observed_by(crash):
        small(**kept).fit(TEXT)
    resumed = small(**kept).fit(TEXT)
    for name, value in whole.network_.state_dict().items():
        assert torch.equal(value, resumed.network_.state_dict()[name]), name


def test_wrong_input(fitted):
    with pytest.raises(InputError, match="more than context=12 tokens of text, got 4"):
        small().fit("abc")
    with pytest.raises(InputError, match="a text, or a sequence of texts, got int"):
        small().fit(["abc", 3])
    with pytest.raises(InputError, match="bytes"):
        small().fit(b"abc" * 100)
    with pytest.raises(InputError, match="none"):
        small().fit([])
    with pytest.raises(SettingError, match="retrain"):
        small(retrain="epochs").fit(TEXT)
    with pytest.raises(SettingError, match="n and length"):
        fitted.sample(0)
    with pytest.raises(SettingError, match="temperature"):
        fitted.sample(temperature=-1.0)
