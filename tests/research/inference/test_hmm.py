"""Hidden Markov models against the sum over all paths, automatic differentiation and hmmlearn."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from gradus.core.errors import InputError
from gradus.research.inference import HiddenMarkovModel
from gradus.research.inference.chains import Chain, best_paths, forward_backward
from gradus.research.inference.em import run_em
from gradus.research.inference.emissions import CategoricalFamily, GaussianFamily, MixtureFamily
from gradus.research.inference.hidden_markov import hidden_markov_init, hidden_markov_step
from gradus.research.inference.scaled_chains import worth_cutting
from gradus.research.inference.sequences import layout_of

FAILURE = 1e-5
LENGTHS = [4, 1, 5, 3, 5]
MAKERS = {"double": torch.float64, "single": torch.float32}


def chain_of(states: int, seed: int = 0, zero: bool = True) -> Chain:
    rng = np.random.default_rng(seed)
    moves = rng.dirichlet(np.ones(states), states)
    if zero:
        moves[0, 1] = 0
        moves /= moves.sum(1, keepdims=True)
    return Chain(torch.from_numpy(rng.dirichlet(np.ones(states))), torch.from_numpy(moves))


def enumerate_paths(chain: Chain, logs: np.ndarray):
    """Likelihood, posteriors, expected transitions and the best path of one sequence, path by path."""
    start, moves = (t.numpy() for t in chain)
    k, steps = logs.shape
    total, states, pairs, best = 0.0, np.zeros((k, steps)), np.zeros((k, k)), (-1.0, None)
    for path in itertools.product(range(k), repeat=steps):
        p = start[path[0]] * np.prod([moves[i, j] for i, j in itertools.pairwise(path)])
        p *= np.exp(sum(logs[i, t] for t, i in enumerate(path)))
        total += p
        for t, i in enumerate(path):
            states[i, t] += p
        for i, j in itertools.pairwise(path):
            pairs[i, j] += p
        best = max(best, (p, path))
    return np.log(total), states / total, pairs / total, best[1], np.log(best[0])


@pytest.fixture(scope="module")
def enumerated():
    chain, layout = chain_of(3), layout_of(LENGTHS)
    logs = np.random.default_rng(1).normal(size=(3, sum(LENGTHS))) * 2
    parts = np.split(logs, np.cumsum(LENGTHS)[:-1], 1)
    return chain, layout, torch.from_numpy(logs)[:, layout.source], [enumerate_paths(chain, part) for part in parts]


@pytest.mark.parametrize("dtype", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("method", ["scaled", "log", "auto"])
def test_sums_are_those_over_all_paths(enumerated, method, dtype):
    chain, layout, logs, wanted = enumerated
    found = forward_backward(chain, logs.to(dtype), layout, method)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-4
    np.testing.assert_allclose(found.log_likelihood, [w[0] for w in wanted], rtol=tolerance)
    states = torch.empty_like(found.states)
    states[:, layout.source] = found.states
    np.testing.assert_allclose(states, np.concatenate([w[1] for w in wanted], 1), atol=tolerance)
    np.testing.assert_allclose(found.transitions, sum(w[2] for w in wanted), atol=10 * tolerance)


def test_the_best_path_is_the_best_of_all(enumerated):
    chain, layout, logs, wanted = enumerated
    packed, scores = best_paths(chain, logs, layout)
    path = torch.empty_like(packed)
    path[layout.source] = packed
    assert path.tolist() == [i for w in wanted for i in w[3]]
    np.testing.assert_allclose(scores, [w[4] for w in wanted], rtol=1e-12)


@pytest.mark.parametrize("method", ["scaled", "log"])
def test_posteriors_are_the_derivatives_of_the_likelihood(method):
    chain, lengths = chain_of(4, zero=False), [30, 7, 30, 19]
    layout = layout_of(lengths)
    logs = torch.randn(4, sum(lengths), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    emitted, moves = logs.clone().requires_grad_(), chain.transitions.log().requires_grad_()
    # only the forward sum is differentiated; the backward one is what is tested
    score = torch.zeros(())
    for i, start in enumerate(np.cumsum(lengths) - lengths):
        columns = torch.argsort(layout.source)[start : start + lengths[i]]
        alpha = chain.start.log() + emitted[:, columns[0]]
        for column in columns[1:]:
            alpha = torch.logsumexp(alpha[:, None] + moves, 0) + emitted[:, column]
        score = score + alpha.logsumexp(0)
    by_emission, by_move = torch.autograd.grad(score, (emitted, moves))
    found = forward_backward(chain, logs, layout, method)
    assert float(found.log_likelihood.sum()) == pytest.approx(score.item(), rel=1e-12)
    np.testing.assert_allclose(found.states, by_emission, atol=1e-10)
    np.testing.assert_allclose(found.transitions, by_move, atol=1e-9)


@pytest.mark.parametrize("dtype", MAKERS.values(), ids=MAKERS)
def test_what_scaling_loses_is_found_in_logarithms(dtype):
    chain = Chain(torch.tensor([1.0, 0.0]), torch.eye(2))  # never leaves state 0, which explains nothing
    logs = torch.tensor([[-2000.0, -1.0, -2000.0], [-1.0, -1.0, -1.0]], dtype=dtype)
    layout = layout_of([1, 2])
    packed = logs[:, layout.source]
    lost = forward_backward(chain, packed, layout, "scaled").log_likelihood
    assert lost.tolist() == [-torch.inf, -torch.inf]
    found = forward_backward(chain, packed, layout, "auto")
    np.testing.assert_allclose(found.log_likelihood, [-2000, -2001], rtol=1e-6)
    np.testing.assert_allclose(found.states, [[1, 1, 1], [0, 0, 0]])
    np.testing.assert_allclose(found.transitions, [[1, 0], [0, 0]])


def test_one_lost_sequence_does_not_touch_the_others():
    chain, layout = chain_of(2, zero=False)._replace(start=torch.tensor([1.0, 0.0]).double()), layout_of([2, 3, 1])
    logs = torch.randn(2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logs[:, 2] = torch.tensor([-5000.0, 0.0])  # the first step of the second sequence
    packed = logs[:, layout.source]
    one, other = (forward_backward(chain, packed, layout, method) for method in ("auto", "log"))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_an_impossible_sequence_has_no_likelihood():
    chain, layout = chain_of(2), layout_of([2, 2])
    logs = torch.zeros(2, 4, dtype=torch.float64)
    logs[:, 1] = -torch.inf
    for method in ("auto", "scaled", "log"):
        found = forward_backward(chain, logs, layout, method)
        assert found.log_likelihood.isfinite().tolist() == [True, False]
        assert float(found.states[:, layout.sequence == 1].sum()) == 0
        assert float(found.transitions.sum()) == pytest.approx(1)


# ---- EM ----


def noisy_levels(seed: int = 0):
    """Sequences that switch between three levels, of unequal lengths."""
    rng = np.random.default_rng(seed)
    moves = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    sequences = []
    for n in rng.integers(5, 40, 40):
        state, rows = rng.integers(3), []
        for _ in range(n):
            rows.append([state * 2.0, -state] + rng.normal(size=2) * [0.5, 1.0])
            state = rng.choice(3, p=moves[state])
        sequences.append(np.array(rows))
    return sequences, moves


FAMILIES = {
    "diag": GaussianFamily(covariance="diag", floor=0.0),
    "full": GaussianFamily(covariance="full", floor=0.0),
    "tied": GaussianFamily(covariance="tied", floor=0.0),
    "mixture": MixtureFamily(components=2, covariance="full", floor=0.0),
    "mixture-tied": MixtureFamily(components=2, covariance="tied", floor=0.0),
    "categorical": CategoricalFamily(symbols=6),
}


def differentiable(name: str, free: list[torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """Log-densities by torch.distributions."""
    if name == "categorical":
        return free[0].log()[:, rows[:, 0].long()]
    *weights, means, covariances = free
    if name == "diag":
        covariances = torch.diag_embed(covariances)
    if name == "mixture-tied":
        covariances = covariances[:, None]
    apart = rows.reshape(-1, *[1] * (means.ndim - 1), 2)
    logs = torch.distributions.MultivariateNormal(means, covariances).log_prob(apart)
    return (logs + weights[0].log()).logsumexp(2).T if weights else logs.T


@pytest.mark.parametrize("name", FAMILIES)
def test_likelihood_never_falls_and_ends_where_its_gradient_is_zero(name):
    family, (sequences, _) = FAMILIES[name], noisy_levels()
    layout = layout_of([len(s) for s in sequences])
    rows = torch.from_numpy(np.concatenate(sequences))[layout.source]
    if name == "categorical":
        rows = rows[:, :1].round().clamp(-1, 4) + 1
    source = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (len(rows),), generator=source)
    state = hidden_markov_init(family, rows, layout, labels, 3, source)
    steps = 400
    fit = run_em(lambda s: hidden_markov_step(s, family, rows, layout), state, units=1, max_iter=steps, tolerance=1e-10)
    assert fit.history[-1] - fit.history[0] > 50
    assert np.diff(fit.history).min() > -1e-8
    # the score by automatic differentiation of the emissions under the posterior (Fisher's identity)
    emission = fit.state.emission
    free = [t.clone().requires_grad_() for t in emission]
    posterior = forward_backward(fit.state.chain, family.log_densities(emission, rows), layout).states
    logs = differentiable(name, free, rows)
    np.testing.assert_allclose(logs.detach(), family.log_densities(emission, rows), atol=1e-8)
    slopes = torch.autograd.grad((posterior * logs).sum(), free)
    if name == "categorical":  # the same multiplier for every symbol of a state, up to rare ones
        seen = emission.probabilities > 1e-3
        assert (slopes[0] / posterior.sum(1)[:, None] - 1)[seen].abs().max() < 1e-2
    else:
        assert slopes[-2].abs().max() < 0.1 and slopes[-1].abs().max() < 0.1
    if name.startswith("mixture"):  # the same multiplier for every component of a state
        assert (slopes[0] / posterior.sum(1)[:, None] - 1).abs().max() < 1e-2


def test_levels_and_moves_are_recovered():
    sequences, moves = noisy_levels(1)
    model = HiddenMarkovModel(n_states=3, smoothing=0.0, random_state=0).fit(sequences)
    order = np.argsort(model.means_[:, 0])
    np.testing.assert_allclose(model.means_[order], [[0, 0], [2, -1], [4, -2]], atol=0.25)
    np.testing.assert_allclose(model.transitions_[np.ix_(order, order)], moves, atol=0.12)
    np.testing.assert_allclose(np.sqrt(model.covariances_)[order], [[0.5, 1.0]] * 3, atol=0.15)


def test_all_symbol_sequences_sum_to_one():
    model = HiddenMarkovModel(emission="categorical", n_states=3, n_symbols=3, random_state=0, max_iter=5)
    model.fit([[0, 1, 2, 2, 1], [1, 1, 0]])
    every = [list(word) for word in itertools.product(range(3), repeat=4)]
    assert np.exp(model.score_samples(every)).sum() == pytest.approx(1, abs=1e-12)


def test_samples_have_the_distribution():
    model = HiddenMarkovModel(emission="categorical", n_states=2, n_symbols=2, random_state=0, max_iter=1)
    model.fit([[0, 1, 1, 0, 0, 0, 1, 1, 1]])
    model.start_, model.transitions_ = np.array([0.7, 0.3]), np.array([[0.9, 0.1], [0.3, 0.7]])
    model.probabilities_ = np.array([[0.8, 0.2], [0.1, 0.9]])
    every, n = [list(word) for word in itertools.product(range(2), repeat=3)], 20_000
    wanted = np.exp(model.score_samples(every)) * n

    def p_value(drawn: np.ndarray) -> float:
        return stats.chisquare(np.bincount((drawn @ [4, 2, 1]).astype(int), minlength=8), wanted).pvalue

    assert p_value(model.sample(n, 3, random_state=0)[:, :, 0]) > FAILURE
    model.transitions_ = model.transitions_.T / model.transitions_.T.sum(1, keepdims=True)  # a planted bug
    assert p_value(model.sample(n, 3, random_state=0)[:, :, 0]) < FAILURE


def test_a_left_right_chain_never_goes_back():
    sequences = [np.concatenate([np.full(n, 0.0), np.full(7, 3.0), np.full(n, 6.0)]) for n in (4, 6, 9)]
    noise = np.random.default_rng(0)
    sequences = [s + 0.3 * noise.normal(size=len(s)) for s in sequences]
    model = HiddenMarkovModel(n_states=3, topology="left-right", random_state=0).fit(sequences)
    allowed = np.eye(3) + np.diag(np.ones(2), 1)
    assert (model.transitions_[allowed == 0] == 0).all() and model.start_.tolist() == [1, 0, 0]
    np.testing.assert_allclose(model.means_[:, 0], [0, 3, 6], atol=0.3)
    assert model.predict(sequences)[0].tolist() == [0] * 4 + [1] * 7 + [2] * 4
    assert model.sample(50, 30, random_state=0).shape == (50, 30, 1)


FORMS = [("gaussian", kind) for kind in ("full", "tied", "diag", "spherical")]
FORMS += [("mixture", kind) for kind in ("full", "tied", "diag", "spherical")]


def in_units(model: HiddenMarkovModel, state: int) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Weight, mean and covariance of each Gaussian of a state, as the attributes say them."""
    wide = {"full": lambda c: c, "tied": lambda c: c, "diag": np.diag, "spherical": lambda c: c * np.eye(2)}
    kind = wide[model.covariance]
    if model.emission == "gaussian":
        found = model.covariances_ if model.covariance == "tied" else model.covariances_[state]
        return [(1.0, model.means_[state], kind(found))]
    covariances = model.covariances_[state]
    if model.covariance == "tied":  # by the components of a state
        covariances = [covariances] * len(model.weights_[state])
    parts = zip(model.weights_[state], model.means_[state], covariances, strict=True)
    return [(weight, mean, kind(found)) for weight, mean, found in parts]


@pytest.mark.parametrize(("emission", "covariance"), FORMS)
def test_likelihoods_and_samples_are_in_the_units_of_the_features(emission, covariance):
    """Columns of scales a thousand apart: densities path by path from scipy's, samples by their moments."""
    sequences, _ = noisy_levels()
    sequences = [s * [30.0, 0.03] + [5.0, -1.0] for s in sequences]
    model = HiddenMarkovModel(n_states=2, emission=emission, covariance=covariance, random_state=0, max_iter=5)
    model.fit(sequences)
    rows = sequences[0][:3]
    logs = np.empty((2, 3))
    for i in range(2):
        each = [w * stats.multivariate_normal(m, c, allow_singular=False).pdf(rows) for w, m, c in in_units(model, i)]
        logs[i] = np.log(sum(each))
    chain = Chain(torch.from_numpy(model.start_), torch.from_numpy(model.transitions_))
    assert model.score_samples([rows])[0] == pytest.approx(enumerate_paths(chain, logs)[0], rel=1e-9)

    model.start_, n = np.array([0.4, 0.6]), 20_000
    parts = [(p * w, m, c) for i, p in enumerate(model.start_) for w, m, c in in_units(model, i)]
    mean = sum(w * m for w, m, _ in parts)
    second = sum(w * (c + np.outer(m - mean, m - mean)) for w, m, c in parts)

    def surprise(drawn: np.ndarray) -> float:
        apart = drawn - mean
        products = (apart[:, :, None] * apart[:, None]).reshape(n, -1)
        found = [(apart, np.zeros(2)), (products, second.ravel())]
        return max(float((abs(v.mean(0) - t) / v.std(0) * n**0.5).max()) for v, t in found)

    limit = stats.norm.isf(FAILURE / 12)
    drawn = model.sample(n, 1, random_state=0)[:, 0]
    assert surprise(drawn) < limit
    assert surprise(drawn * 1.05) > limit and surprise(drawn - model.center_) > limit  # planted: scale, origin


# ---- hmmlearn ----


def peers(kind: str):
    hmm = pytest.importorskip("hmmlearn.hmm")
    sequences, _ = noisy_levels(2)
    settings = {"n_states": 3, "smoothing": 0.0, "floor": 0.0, "random_state": 0, "max_iter": 2, "tolerance": 0.0}
    if kind == "categorical":
        sequences = [np.clip(s[:, :1].round(), 0, 4).astype(int) for s in sequences]
        ours = HiddenMarkovModel(emission="categorical", **settings).fit(sequences)
        peer = hmm.CategoricalHMM(3, params="ste", init_params="")
        peer.emissionprob_, peer.n_features = ours.probabilities_.copy(), ours.n_symbols_
    elif kind.startswith("mixture"):
        form = {"mixture": "diag", "mixture-tied": "tied"}[kind]
        flips = np.random.default_rng(3)  # two components a state, each apart
        sequences = [s + flips.choice([-4.0, 4.0], (len(s), 1)) * [0.3, 1] for s in sequences]
        ours = HiddenMarkovModel(emission="mixture", covariance=form, **settings).fit(sequences)
        peer = hmm.GMMHMM(3, 2, covariance_type=form, params="stmw", init_params="", min_covar=0)
        peer.weights_, peer.means_, peer.covars_ = (
            ours.weights_.copy(),
            ours.means_.copy(),
            ours.covariances_.copy(),
        )
    else:
        ours = HiddenMarkovModel(covariance=kind, **settings).fit(sequences)
        peer = hmm.GaussianHMM(3, covariance_type=kind, params="stm", init_params="")
        peer.n_features = 2
        peer.means_, peer.covars_ = ours.means_.copy(), ours.covariances_.copy()
    peer.startprob_, peer.transmat_ = ours.start_.copy(), ours.transitions_.copy()
    return ours, peer, sequences


@pytest.mark.parametrize("kind", ["diag", "full", "spherical", "tied", "mixture", "mixture-tied", "categorical"])
def test_answers_are_those_of_hmmlearn(kind):
    ours, peer, sequences = peers(kind)
    rows, lengths = np.concatenate(sequences), [len(s) for s in sequences]
    assert ours.score_samples(sequences).sum() == pytest.approx(peer.score(rows, lengths), rel=1e-10)
    np.testing.assert_allclose(ours.predict_proba(rows, lengths), peer.predict_proba(rows, lengths), atol=1e-8)
    score, path = peer.decode(rows, lengths)
    np.testing.assert_array_equal(ours.predict(rows, lengths), path)
    assert ours.best_path_scores(sequences).sum() == pytest.approx(score, rel=1e-10)


@pytest.mark.parametrize("kind", ["diag", "full", "categorical"])
def test_a_step_is_that_of_hmmlearn(kind):
    ours, peer, sequences = peers(kind)
    rows, lengths = np.concatenate(sequences), [len(s) for s in sequences]
    peer.set_params(n_iter=1, params="ste" if kind == "categorical" else "stmc")
    if kind != "categorical":
        peer.set_params(covars_prior=0, covars_weight=1 if kind == "diag" else -3, min_covar=0)
    peer.fit(rows, lengths)
    state, family = ours._fitted()
    layout = layout_of(lengths)
    columns = ours._rows(rows, lengths, reset=False)[0]
    if kind != "categorical":
        family = GaussianFamily(covariance=kind, floor=0.0)
    new, _ = hidden_markov_step(state, family, columns, layout)
    ours._keep(new)
    np.testing.assert_allclose(ours.start_, peer.startprob_, atol=1e-8)
    np.testing.assert_allclose(ours.transitions_, peer.transmat_, atol=1e-8)
    if kind == "categorical":
        np.testing.assert_allclose(ours.probabilities_, peer.emissionprob_, atol=1e-8)
    else:
        np.testing.assert_allclose(ours.means_, peer.means_, atol=1e-8)
        found = peer.covars_ if kind == "full" else peer.covars_[:, range(2), range(2)]
        np.testing.assert_allclose(ours.covariances_, found, rtol=1e-6)


def test_tied_mixtures_end_where_hmmlearn_does():
    """EM of both from the same parameters: steps differ (theirs spreads about the old means), the optimum does not."""
    ours, peer, sequences = peers("mixture-tied")
    away, level = np.array([1.2, 4.0]), np.array([2.0, -1.0])  # near the truth, so that the hill is the same one
    ours.means_ = np.array([[i * level - away, i * level + away] for i in range(3)])
    ours.covariances_ = np.tile(np.diag([0.5, 1.5]), (3, 1, 1))
    ours.weights_, ours.transitions_ = np.full((3, 2), 0.5), 0.2 + 0.4 * np.eye(3)
    peer.means_, peer.covars_, peer.weights_ = ours.means_.copy(), ours.covariances_.copy(), ours.weights_.copy()
    peer.transmat_ = ours.transitions_.copy()
    rows, lengths = np.concatenate(sequences), [len(s) for s in sequences]
    peer.set_params(n_iter=2000, tol=1e-9, params="stmcw").fit(rows, lengths)
    layout, columns = layout_of(lengths), ours._rows(rows, lengths, reset=False)[0]
    family = MixtureFamily(components=2, covariance="tied", floor=0.0)
    best = run_em(
        lambda s: hidden_markov_step(s, family, columns, layout), ours._fitted()[0], units=1, max_iter=2000,
        tolerance=1e-9,
    )  # fmt: skip
    assert best.converged and np.diff(best.history).min() > -1e-8 and best.history[-1] - best.history[0] > 50
    ours._keep(best.state)
    assert ours.score_samples(sequences).sum() == pytest.approx(peer.score(rows, lengths), abs=1e-3)
    assert ours.covariances_.shape == (3, 2, 2) and np.abs(ours.covariances_[0] - ours.covariances_[1]).max() > 0.05
    for name in ("means_", "covars_", "weights_", "transmat_"):
        mine = {"covars_": "covariances_", "transmat_": "transitions_"}.get(name, name)
        np.testing.assert_allclose(getattr(ours, mine), getattr(peer, name), atol=5e-3)
    free = 2 + 6 + 3 * (1 + 2 * 2 + 3)  # first state, transitions; of each state weights, means, a covariance
    assert ours.aic(sequences) == pytest.approx(2 * free - 2 * peer.score(rows, lengths), abs=1e-2)


# ---- the estimator ----


def test_forms_of_input_agree():
    sequences, _ = noisy_levels()
    rows, lengths = np.concatenate(sequences), [len(s) for s in sequences]
    model = HiddenMarkovModel(n_states=3, random_state=0, max_iter=5).fit(sequences)
    again = HiddenMarkovModel(n_states=3, random_state=0, max_iter=5).fit(rows, lengths=lengths)
    np.testing.assert_array_equal(model.means_, again.means_)
    np.testing.assert_array_equal(np.concatenate(model.predict(sequences)), model.predict(rows, lengths))
    alone = np.array([model.score_samples([s])[0] for s in sequences])
    np.testing.assert_allclose(model.score_samples(sequences), alone, rtol=1e-12)
    np.testing.assert_allclose(model.score_samples(np.stack([s[:5] for s in sequences])).shape, (40,))
    one = model.predict_proba(rows)  # a single long sequence
    assert one.shape == (len(rows), 3) and np.allclose(one.sum(1), 1)
    assert HiddenMarkovModel(n_states=2, random_state=0, max_iter=2).fit(rows[:, 0]).means_.shape == (2, 1)


@pytest.mark.parametrize("emission", ["gaussian", "mixture", "categorical"])
def test_a_saved_model_answers_alike(emission, tmp_path):
    sequences, _ = noisy_levels()
    if emission == "categorical":
        sequences = [np.clip(s[:, 0].round(), 0, 4) for s in sequences]
    model = HiddenMarkovModel(n_states=3, emission=emission, random_state=0, max_iter=4).fit(sequences)
    loaded = HiddenMarkovModel.load(model.save(tmp_path))
    np.testing.assert_array_equal(loaded.score_samples(sequences), model.score_samples(sequences))
    np.testing.assert_array_equal(loaded.sample(2, 5, random_state=1), model.sample(2, 5, random_state=1))
    assert loaded.bic(sequences) == model.bic(sequences)
    assert [e.title for e in loaded.exhibits(sequences)] == ["Components", "Transitions", "Decoded path", "Likelihood"]


def test_criteria_count_free_parameters():
    sequences, _ = noisy_levels()
    model = HiddenMarkovModel(n_states=3, covariance="full", random_state=0, max_iter=3).fit(sequences)
    total, steps = model.score_samples(sequences).sum(), sum(map(len, sequences))
    free = 2 + 6 + 6 + 9  # first state, transitions, means, covariances
    assert model.aic(sequences) == pytest.approx(-2 * total + 2 * free)
    assert model.bic(sequences) == pytest.approx(-2 * total + free * np.log(steps))


def test_constant_sequences_do_no_harm():
    for covariance in ("full", "diag", "spherical", "tied"):
        model = HiddenMarkovModel(n_states=2, covariance=covariance, random_state=0).fit([np.full((20, 2), 5.0)])
        assert np.isfinite(model.score([np.full((5, 2), 5.0)]))
        model.set_params(emission="mixture", n_states=3).fit([np.full((20, 2), 5.0)])
        assert np.isfinite(model.score([np.full((5, 2), 5.0)]))


def test_more_starts_are_no_worse_and_posteriors_decode():
    sequences, _ = noisy_levels()
    one = HiddenMarkovModel(n_states=3, random_state=1, max_iter=5, tolerance=0.0).fit(sequences)
    many = HiddenMarkovModel(n_states=3, random_state=1, max_iter=5, tolerance=0.0, n_init=4).fit(sequences)
    assert many.history_[4]["log_likelihood"] >= one.history_[4]["log_likelihood"]
    best = one.set_params(decoding="posterior").predict(sequences)
    np.testing.assert_array_equal(best[3], one.predict_proba(sequences)[3].argmax(1))


@pytest.mark.parametrize(
    ("X", "settings", "words"),
    [
        ([[1.0, np.nan]], {}, "finite numbers"),
        ([[1.0], []], {}, "an empty one"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], {}, "of one width"),
        (np.zeros((2, 2, 2, 2)), {}, "steps, features"),
        ([[0.5, 1.0]], {"emission": "categorical"}, "whole numbers from 0"),
        ([[0, 5]], {"emission": "categorical", "n_symbols": 3}, "symbols below 3"),
        ([[1.0]], {"n_states": 3}, "3 steps or more"),
        ([["a", "b"]], {}, "sequences of numbers"),
    ],
)
def test_wrong_sequences_get_a_sentence(X, settings, words):
    with pytest.raises(InputError, match=words):
        HiddenMarkovModel(**settings).fit(X)


def test_other_mistakes_get_a_sentence():
    model = HiddenMarkovModel(random_state=0, max_iter=2).fit([np.arange(9.0)])
    with pytest.raises(InputError, match="add up to the 4 rows"):
        model.predict(np.zeros((4, 1)), lengths=[2, 1])
    with pytest.raises(InputError, match="1 features a step"):
        model.predict([np.zeros((3, 2))])
    with pytest.raises(InputError, match="length, an integer"):
        model.sample(1, 0)
    with pytest.raises(InputError, match="lengths only with all rows"):
        model.predict([np.zeros((3, 1))], lengths=[3])


# ---- long sequences ----


@pytest.mark.parametrize("lengths", [[1000], [3, 900, 1, 405, 900]], ids=str)
@pytest.mark.parametrize("dtype", MAKERS.values(), ids=MAKERS)
def test_long_sequences_in_pieces_are_what_logarithms_say(lengths, dtype):
    chain, layout = chain_of(5), layout_of(lengths)
    assert worth_cutting(layout, 5)
    logs = 3 * torch.randn(5, sum(lengths), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logs[0, ::7] = -torch.inf
    exact = forward_backward(chain, logs, layout, "log")
    found = forward_backward(chain, logs.to(dtype), layout)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    np.testing.assert_allclose(found.log_likelihood, exact.log_likelihood, rtol=tolerance)
    np.testing.assert_allclose(found.states, exact.states, atol=tolerance)
    np.testing.assert_allclose(found.transitions, exact.transitions, atol=100 * tolerance)


def test_a_long_sequence_that_scaling_loses_is_found():
    chain = Chain(torch.tensor([1.0, 0.0]).double(), torch.eye(2).double())
    logs = torch.zeros(2, 600, dtype=torch.float64)
    logs[0, 300] = -2000.0  # the only state there can be explains it badly
    found = forward_backward(chain, logs, layout_of([600]))
    assert float(found.log_likelihood) == pytest.approx(-2000)
    np.testing.assert_allclose(found.states[0], 1)
