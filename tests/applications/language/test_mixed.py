"""A network and counts together: the ends, sums over the vocabulary, and real text that neither has read."""

import gzip
import pickle

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

import gradus
from gradus.applications.language.mixed import MixedLanguageModel
from gradus.applications.language.model import LanguageModel
from gradus.applications.language.ngrams import NGramLanguageModel
from gradus.core.errors import InputError, SettingError

NETWORK = {
    "network": "gru", "layers": 1, "width": 96, "context": 32, "batch_size": 16, "learning_rate": 1e-2,
    "max_steps": 300, "max_epochs": 100, "n_threads": 1, "random_state": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(data_home):
    """Text to learn, to weigh, and to judge by: neighbours in one play."""
    text = gzip.open(data_home / "text" / "tinyshakespeare.txt.gz", "rt").read()
    return text[:80_000], text[80_000:90_000], text[90_000:100_000]


@pytest.fixture(scope="module")
def alone(parts):
    """The network and the n-grams, each fitted by itself."""
    return LanguageModel(**NETWORK).fit(parts[0], X_val=parts[1]), NGramLanguageModel(order=5).fit(parts[0])


@pytest.fixture(scope="module")
def model(parts, alone):
    return MixedLanguageModel.of(*alone, parts[1], groups=4)


def weighed(model, weights):
    """Return a copy with other weights."""
    other = pickle.loads(pickle.dumps(model))
    other.weights_ = np.tile(weights, (len(model.weights_), 1))
    return other


def test_with_a_weight_of_one_each_model_answers_alone(model, alone, parts):
    for weights, single in zip(([1.0, 0.0], [0.0, 1.0]), alone, strict=True):
        mixed = weighed(model, weights)
        (got,), (wanted,) = (one.token_log_probabilities(parts[2][:500]) for one in (mixed, single))
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
        got, wanted = (one.next_probabilities("Before we pro") for one in (mixed, single))
        np.testing.assert_allclose(got[: len(wanted)], wanted, atol=1e-6)


def test_it_is_never_worse_on_held_out_text_and_better_on_text_that_is_neither(model, alone, parts):
    for part in parts[1:]:
        mixed, *singles = (one.score(part) for one in (model, *alone))
        assert mixed > max(singles) + 0.01
    # In each group by itself, on the text that the weights were learned on.
    log_p, left = model._both(parts[1])
    groups = model._groups_of(left)
    mixed = model.token_log_probabilities(parts[1])[0]
    for group in range(4):
        assert mixed[groups == group].mean() >= log_p[:, groups == group].mean(1).max()
    assert (np.bincount(groups) > len(left) / 10).all()
    # Where the counts leave little over, they are trusted more.
    assert model.weights_[0, 1] > model.weights_[-1, 1] + 0.1


def test_one_weight_for_all_is_no_better_on_held_out_text_than_one_for_each_group(model, alone, parts):
    single = MixedLanguageModel.of(*alone, parts[1], groups=1)
    assert single.weights_.shape == (1, 2)
    assert model.score(parts[1]) > single.score(parts[1])


@pytest.mark.parametrize("context", ["", "B", "Before we proceed", "\x07 never seen", "x" * 100])
def test_probabilities_of_the_next_token_sum_to_one(model, context):
    p = model.next_probabilities(context)
    assert len(p) == model.tokenizer_.size + 1 and (p >= 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-6)


def test_scores_are_the_probabilities_of_next_tokens(model):
    text = "First Citizen: hear me"  # shorter than the context, so that all of it is seen
    (logs,) = model.token_log_probabilities(text)
    ids = model.tokenizer_.encode(text)
    stepped = [np.log(model.next_probabilities(text[:place])[ids[place]]) for place in range(len(text))]
    np.testing.assert_allclose(logs, stepped, atol=1e-5)
    assert model.score_samples(text) == pytest.approx(logs.sum())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_come_as_often_as_their_probabilities_say(model, temperature):
    n, prompt = 4000, "What, "
    p = model.next_probabilities(prompt) ** (1 / temperature)
    drawn = [text[len(prompt) :] for text in model.sample(n, prompt=prompt, length=1, temperature=temperature,
                                                         random_state=0)]  # fmt: skip
    letters = model.tokenizer_.decode(np.arange(model.tokenizer_.size))
    counts = np.array([*(drawn.count(letter) for letter in letters), drawn.count("")])
    wanted = n * p / p.sum()
    often = wanted >= 5
    found, expected = (np.append(each[often], each[~often].sum()) for each in (counts, wanted))
    assert often.sum() > 2 and stats.chisquare(found, expected).pvalue > 1e-5
    # One that draws from the network alone is told from it.
    other = weighed(model, [1.0, 0.0]).next_probabilities(prompt) ** (1 / temperature)
    other = n * other / other.sum()
    assert stats.chisquare(found, np.append(other[often], other[~often].sum())).pvalue < 1e-5


def test_the_likeliest_text_is_the_likeliest_token_each_time(model):
    (said,) = model.sample(prompt="the ", length=40, temperature=0.0)  # beyond the context of 32
    for place in range(4, 30):
        likeliest = int(model.next_probabilities(said[:place]).argmax())
        assert model.tokenizer_.decode([likeliest]) == said[place]
    assert len(said) == 44


def test_fitting_learns_what_its_parts_learn(model, parts):
    mixed = MixedLanguageModel(**NETWORK, order=5, groups=4).fit(parts[0], X_val=parts[1])
    np.testing.assert_array_equal(mixed.weights_, model.weights_)
    np.testing.assert_array_equal(
        mixed.token_log_probabilities(parts[2])[0], model.token_log_probabilities(parts[2])[0]
    )


def test_text_held_out_for_the_weights_is_counted_afterwards(parts):
    text = parts[0][:20_000]
    settings = {**NETWORK, "max_steps": 5}
    mixed = MixedLanguageModel(**settings, order=3, groups=2, validation_fraction=0.2).fit(text)
    whole, part = (NGramLanguageModel(order=3).fit(one) for one in (text, text[:16_000]))
    (got,) = weighed(mixed, [0.0, 1.0]).token_log_probabilities(text[:300])
    np.testing.assert_allclose(got, whole.token_log_probabilities(text[:300])[0], rtol=1e-12)
    # The weights are those for counts without it, which are worth less there than counts that have it.
    network = LanguageModel(**settings).fit(text[:16_000], X_val=text[16_000:])
    wanted = MixedLanguageModel.of(network, part, text[16_000:], groups=2)
    np.testing.assert_array_equal(mixed.weights_, wanted.weights_)


def test_several_texts_end_by_both(parts):
    lines = [line for line in parts[0].splitlines() if line][:300]
    mixed = MixedLanguageModel(**{**NETWORK, "max_steps": 200}, order=4, groups=2).fit(lines)
    p = mixed.next_probabilities(lines[0])
    assert p.sum() == pytest.approx(1, abs=1e-6)
    both = [weighed(mixed, weights).next_probabilities(lines[0])[-1] for weights in ([1.0, 0.0], [0.0, 1.0])]
    assert min(both) > 0.3 and min(both) <= p[-1] <= max(both)  # a line that was learned ends where it ended
    said = mixed.sample(20, length=400, random_state=0)
    assert all(len(text) < 400 for text in said)


def test_what_was_learned_comes_back(model, parts, tmp_path):
    again = gradus.load(model.save(tmp_path / "model"))
    text = parts[2][:300]
    assert isinstance(again, MixedLanguageModel)
    np.testing.assert_array_equal(again.token_log_probabilities(text)[0], model.token_log_probabilities(text)[0])
    assert again.sample(prompt="the ", length=20, random_state=1) == model.sample(
        prompt="the ", length=20, random_state=1
    )
    assert clone(model).get_params() == model.get_params() and not hasattr(clone(model), "weights_")


def test_what_does_not_fit_together_is_refused(alone, parts):
    network, counts = alone
    with pytest.raises(InputError, match="the same tokens"):
        MixedLanguageModel.of(network, NGramLanguageModel(order=3, tokens="words").fit(parts[0]), parts[1])
    with pytest.raises(InputError, match="the same tokens"):
        MixedLanguageModel.of(network, NGramLanguageModel(order=3).fit(np.arange(9)), parts[1])
    with pytest.raises(SettingError, match="groups"):
        MixedLanguageModel.of(network, counts, parts[1], groups=0)
    with pytest.raises(InputError, match="text"):
        MixedLanguageModel.of(network, counts, 3)
    with pytest.raises(SettingError, match="retrain"):
        MixedLanguageModel(retrain="epochs").fit(parts[0])
