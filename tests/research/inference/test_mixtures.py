"""Mixtures against scikit-learn, enumeration, automatic differentiation and their own likelihood."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits, load_iris
from sklearn.mixture import GaussianMixture as Peer

from gradus.core.errors import InputError
from gradus.research.inference import BernoulliMixture, GaussianMixture
from gradus.research.inference.bernoullis import (
    BernoulliMixtureState,
    bernoulli_log_joint,
    bernoulli_mixture_step,
    bernoulli_penalty,
    sample_bernoullis,
)
from gradus.research.inference.em import run_em
from gradus.research.inference.gaussians import (
    GaussianMixtureState,
    exact_enough,
    gaussian_log_joint,
    gaussian_mixture_init,
    gaussian_mixture_step,
    gaussian_scales,
    sample_gaussians,
)
from gradus.research.inference.starts import kmeans

KINDS = ("full", "tied", "diag", "spherical")
FAILURE = 1e-5


def random_state(kind: str, k: int = 3, d: int = 4, seed: int = 0) -> GaussianMixtureState:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(k, d, d))
    full = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(d)
    covariances = {"full": full, "tied": full[0], "diag": full[:, range(d), range(d)], "spherical": full[:, 0, 0]}
    arrays = rng.dirichlet(np.ones(k)), 2 * rng.normal(size=(k, d)), covariances[kind]
    return GaussianMixtureState(*map(torch.from_numpy, arrays))


def as_peer(state: GaussianMixtureState, kind: str, **settings) -> Peer:
    """scikit-learn's mixture with given parameters."""
    weights, means, covariances = (t.numpy() for t in state)
    inverse = np.linalg.inv(covariances) if kind in ("full", "tied") else 1 / covariances
    peer = Peer(len(weights), covariance_type=kind, weights_init=weights, means_init=means, precisions_init=inverse)
    peer.set_params(**settings)
    # settles the parameters by an M-step that is then undone
    with pytest.warns(match="did not converge"):
        peer.set_params(max_iter=1, tol=0).fit(np.random.default_rng(0).normal(size=(50, means.shape[1])))
    peer.weights_, peer.means_, peer.covariances_ = weights, means, covariances
    peer.precisions_cholesky_ = np.linalg.cholesky(inverse) if kind in ("full", "tied") else np.sqrt(inverse)
    return peer


@pytest.fixture(scope="module")
def rows():
    return torch.from_numpy(np.random.default_rng(1).normal(size=(300, 4)) * [1, 2, 0.5, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_densities_are_those_of_scikit_learn(kind, rows):
    state = random_state(kind)
    ours = gaussian_log_joint(state, rows, kind).logsumexp(1).numpy()
    np.testing.assert_allclose(ours, as_peer(state, kind).score_samples(rows.numpy()), rtol=1e-10)


@pytest.mark.parametrize("form", ["expanded", "centered"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_that_of_scikit_learn(kind, form, rows):
    state, floor = random_state(kind), 0.05
    peer = as_peer(state, kind, reg_covar=floor)
    mean, log_responsibilities = peer._e_step(rows.numpy())
    peer._m_step(rows.numpy(), log_responsibilities)
    new, info = gaussian_mixture_step(state, rows, kind, floor, form=form)
    assert float(info.log_likelihood) / 300 == pytest.approx(mean, rel=1e-10)
    np.testing.assert_allclose(info.counts, np.exp(log_responsibilities).sum(0), rtol=1e-9)
    for ours, theirs in zip(new, (peer.weights_, peer.means_, peer.covariances_), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_close(kind, rows):
    state = random_state(kind)
    double, info = gaussian_mixture_step(state, rows, kind)
    for form in ("expanded", "centered"):
        single, rounded = gaussian_mixture_step(state, rows.float(), kind, form=form)
        assert float(rounded.log_likelihood) == pytest.approx(float(info.log_likelihood), rel=1e-5)
        for one, two in zip(single, double, strict=True):
            np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-4)


def test_a_narrow_component_far_away_is_not_lost_to_cancellation():
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(200, 3)), 1e4 + 1e-5 * rng.normal(size=(100, 3))
    X = torch.from_numpy(np.concatenate([near, far]))
    shares = torch.eye(2, dtype=X.dtype).repeat_interleave(torch.tensor([200, 100]), 0)
    state = gaussian_mixture_init(X, shares, "full")
    assert not exact_enough(state, gaussian_scales(state, "full"), X)
    new, _ = gaussian_mixture_step(state, X, "full")
    np.testing.assert_allclose(new.covariances[1], np.cov(far.T, bias=True), rtol=1e-5, atol=1e-15)
    lost, _ = gaussian_mixture_step(state, X, "full", form="expanded")
    # the test could fail
    assert not np.allclose(lost.covariances[1].numpy(), np.cov(far.T, bias=True), rtol=0.1, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["expanded", "centered"])
def test_likelihood_never_falls_and_ends_where_its_gradient_is_zero(kind, form):
    X = torch.from_numpy(load_iris().data)
    X = X - X.mean(0)
    _, labels = kmeans(X, 3, torch.Generator().manual_seed(0))
    state = gaussian_mixture_init(X, torch.nn.functional.one_hot(labels, 3).double(), kind)
    fit = run_em(lambda s: gaussian_mixture_step(s, X, kind, form=form), state, units=1, max_iter=3000, tolerance=1e-11)
    gains = np.diff(fit.history)
    assert fit.history[-1] - fit.history[0] > 0.1
    assert gains.min() > -1e-9
    weights, means, covariances = (t.clone().requires_grad_() for t in fit.state)
    whole = gaussian_log_joint(GaussianMixtureState(weights, means, covariances), X, kind).logsumexp(1).sum()
    by_weights, by_means, by_covariances = torch.autograd.grad(whole, (weights, means, covariances))
    assert by_means.abs().max() < 1e-3 and by_covariances.abs().max() < 1e-2
    assert (by_weights - len(X)).abs().max() < 1e-3  # the multiplier of their sum
    # at the start it is not
    start = state.means.clone().requires_grad_()
    at_start = gaussian_log_joint(state._replace(means=start), X, kind).logsumexp(1).sum()
    assert torch.autograd.grad(at_start, start)[0].abs().max() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_scikit_learn(kind):
    X = load_iris().data
    ours = GaussianMixture(n_components=3, covariance=kind, n_init=5, tolerance=1e-7, max_iter=1000, random_state=0)
    ours.fit(X)
    peer = Peer(3, covariance_type=kind, n_init=5, tol=1e-7, max_iter=1000, random_state=0, reg_covar=1e-9).fit(X)
    assert ours.score(X) > peer.score(X) - 1e-4
    here = GaussianMixtureState(*map(torch.from_numpy, (peer.weights_, peer.means_, peer.covariances_)))
    assert ours.bic(X) - peer.bic(X) == pytest.approx(-2 * 150 * (ours.score(X) - peer.score(X)), abs=1e-6)
    assert ours.aic(X) - peer.aic(X) == pytest.approx(-2 * 150 * (ours.score(X) - peer.score(X)), abs=1e-6)
    np.testing.assert_allclose(
        gaussian_log_joint(here, torch.from_numpy(X), kind).logsumexp(1), peer.score_samples(X), rtol=1e-8
    )


def test_single_precision_reaches_the_same_likelihood():
    X = load_digits().data
    settings = {"n_components": 10, "covariance": "diag", "floor": 1e-2, "random_state": 0, "n_init": 1}
    double, single = (GaussianMixture(**settings, precision=p).fit(X) for p in ("float64", "float32"))
    assert single.score(X) == pytest.approx(double.score(X), abs=0.5)
    assert double.means_.dtype == single.means_.dtype == np.float64


def test_a_scale_and_an_origin_change_nothing_but_the_density():
    X = load_iris().data
    one = GaussianMixture(n_components=3, random_state=0).fit(X)
    other = GaussianMixture(n_components=3, random_state=0).fit(1e-6 * X + 5)
    assert other.score(1e-6 * X + 5) - 4 * np.log(1e6) == pytest.approx(one.score(X), abs=1e-4)
    np.testing.assert_array_equal(other.predict(1e-6 * X + 5), one.predict(X))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_moments(kind):
    state = random_state(kind)
    n = 40_000

    def surprise(rows: torch.Tensor) -> float:
        """Largest standardized distance of first and second moments from the mixture's."""
        full = {"full": lambda c: c, "tied": lambda c: c.expand(3, 4, 4), "diag": torch.diag_embed}.get(
            kind, lambda c: c[:, None, None] * torch.eye(4, dtype=c.dtype)
        )(state.covariances)
        mean = state.weights @ state.means
        second = (state.weights[:, None, None] * (full + state.means[:, :, None] * state.means[:, None])).sum(0)
        products = (rows[:, :, None] * rows[:, None]).reshape(n, -1)
        worst = (rows.mean(0) - mean).abs() / rows.std(0) * n**0.5
        wide = (products.mean(0) - second.flatten()).abs() / products.std(0) * n**0.5
        return float(torch.cat([worst, wide]).max())

    limit = stats.norm.isf(FAILURE / 40)
    component = torch.multinomial(state.weights, n, replacement=True, generator=torch.Generator().manual_seed(1))
    assert surprise(sample_gaussians(state, component, kind, torch.Generator().manual_seed(0))) < limit
    wrong = state._replace(covariances=state.covariances * 1.1)  # a planted bug
    assert surprise(sample_gaussians(wrong, component, kind, torch.Generator().manual_seed(0))) > limit


# ---- Bernoullis ----


def binary_state(k: int = 3, d: int = 8, seed: int = 0) -> BernoulliMixtureState:
    rng = np.random.default_rng(seed)
    return BernoulliMixtureState(
        torch.from_numpy(rng.dirichlet(np.ones(k))), torch.from_numpy(rng.uniform(0.05, 0.95, (k, d)))
    )


def every_row(d: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=d)), dtype=torch.float64)


def test_probabilities_of_all_rows_sum_to_one():
    state, X = binary_state(), every_row(8)
    p = bernoulli_log_joint(state, X).logsumexp(1).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    # the probability that column 3 is one, both ways
    assert float(p[X[:, 3] == 1].sum()) == pytest.approx(float(state.weights @ state.probabilities[:, 3]), abs=1e-12)
    one = torch.distributions.Bernoulli(state.probabilities[1]).log_prob(X).sum(1) + state.weights[1].log()
    np.testing.assert_allclose(bernoulli_log_joint(state, X)[:, 1], one, rtol=1e-12)


def test_impossible_rows_have_probability_zero():
    state = BernoulliMixtureState(torch.tensor([0.5, 0.5]), torch.tensor([[1.0, 0.0], [0.5, 0.0]]))
    p = bernoulli_log_joint(state, every_row(2)).exp()
    np.testing.assert_allclose(p, [[0, 0.25], [0, 0], [0.5, 0.25], [0, 0]], atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 2.0])
def test_penalized_likelihood_never_falls_and_ends_where_its_gradient_is_zero(smoothing):
    X = (torch.from_numpy(load_digits().data[:400]) > 7).double()
    overall = X.mean(0).clamp(1e-3, 1 - 1e-3)
    rng = torch.Generator().manual_seed(0)
    state = BernoulliMixtureState(
        torch.full((5,), 0.2, dtype=torch.float64), 0.2 + 0.6 * torch.rand(5, 64, generator=rng, dtype=torch.float64)
    )
    past = []
    for _ in range(600):
        penalty = float(bernoulli_penalty(state, overall, smoothing)) if smoothing else 0.0
        state, info = bernoulli_mixture_step(state, X, smoothing, overall)
        past.append(float(info.log_likelihood) + penalty)
    assert past[-1] - past[0] > 100
    assert np.diff(past).min() > -1e-7
    if smoothing:
        p = state.probabilities.clone().requires_grad_()
        moved = BernoulliMixtureState(state.weights, p)
        whole = bernoulli_log_joint(moved, X).logsumexp(1).sum() + bernoulli_penalty(moved, overall, smoothing)
        slope = torch.autograd.grad(whole, p)[0]
        assert (slope * p * (1 - p)).abs().max() < 1e-2  # by log-odds


def test_planted_components_are_found():
    state = BernoulliMixtureState(
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), binary_state(3, 20, 4).probabilities
    )
    component = torch.multinomial(state.weights, 4000, replacement=True, generator=torch.Generator().manual_seed(1))
    X = sample_bernoullis(state, component, torch.Generator().manual_seed(2))
    model = BernoulliMixture(n_components=3, random_state=0).fit(X.numpy())
    order = np.argsort(-model.weights_)
    np.testing.assert_allclose(model.weights_[order], state.weights, atol=0.06)
    np.testing.assert_allclose(model.probabilities_[order], state.probabilities, atol=0.08)
    best = bernoulli_log_joint(state, X).logsumexp(1).mean()
    assert float(best) < model.score(X.numpy()) < float(best) + 0.03
    assert (order.argsort()[model.predict(X.numpy())] == component.numpy()).mean() > 0.9


def test_binary_samples_have_the_distribution():
    state, n = binary_state(3, 4), 20_000
    cells = every_row(4)
    wanted = bernoulli_log_joint(state, cells).logsumexp(1).exp().numpy() * n

    def p_value(rows: torch.Tensor) -> float:
        code = (rows @ torch.tensor([8.0, 4, 2, 1], dtype=rows.dtype)).long()
        return stats.chisquare(torch.bincount(code, minlength=16).numpy(), wanted).pvalue

    model = BernoulliMixture(n_components=3).fit(cells.numpy())
    model.weights_, model.probabilities_ = state.weights.numpy(), state.probabilities.numpy()
    assert p_value(torch.from_numpy(model.sample(n, random_state=0))) > FAILURE
    # a planted bug: the right means, no components
    alone = (
        torch.rand(n, 4, generator=torch.Generator().manual_seed(0)) < state.weights @ state.probabilities
    ).double()
    assert p_value(alone) < FAILURE


def test_a_pixel_never_seen_on_is_not_impossible():
    X = np.repeat([[1.0, 0.0], [0.0, 0.0]], 20, 0)
    model = BernoulliMixture(n_components=2, random_state=0).fit(X)
    assert -10 < model.score_samples([[1.0, 1.0]])[0] < -3
    assert np.isneginf(BernoulliMixture(smoothing=0.0, random_state=0).fit(X).score_samples([[1.0, 1.0]])[0])


def test_grey_pixels_are_cut_or_refused():
    X = load_digits().images[:200]
    model = BernoulliMixture(n_components=4, threshold=7.5, random_state=0).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), model.score_samples((X > 7.5) * 16))
    assert model.sample(5, random_state=0).shape == (5, 8, 8)
    assert set(np.unique(model.sample(5))) == {0.0, 1.0}
    with pytest.raises(InputError, match="rows of zeros and ones"):
        BernoulliMixture(threshold=None).fit(X)


@pytest.mark.parametrize(("full", "largest"), [(1.0, 1.0), (255.0, 254.0), (16.0, 16.0)])
def test_pixels_are_cut_at_half_a_full_one(full, largest):
    X = np.floor(np.random.default_rng(0).uniform(0, 1, (60, 5)) * 17) / 16 * largest
    X[0] = full / 2, full / 2 + 0.01 * full, 0, largest, 0
    bits = (X > full / 2) * 1.0
    model = BernoulliMixture(n_components=2, random_state=0).fit(X)
    plain = BernoulliMixture(n_components=2, random_state=0, threshold=0.5).fit(bits)
    np.testing.assert_array_equal(model.probabilities_, plain.probabilities_)
    assert model.full_ == full and plain.full_ == 1 and plain.threshold_ == 0.5
    np.testing.assert_array_equal(model.set_params(threshold=0.9).score_samples(X), plain.score_samples(bits))
    drawn = model.sample(50, random_state=0)  # on the scale of the rows: their own likelihood is that of the bits
    np.testing.assert_array_equal(drawn, plain.sample(50, random_state=0) * full)
    np.testing.assert_array_equal(model.score_samples(drawn), plain.score_samples(drawn / full))


# ---- estimators ----


def test_more_starts_are_no_worse_and_the_history_is_that_of_the_best():
    X = load_digits().data[:500]
    one, many = (GaussianMixture(n_components=8, covariance="diag", n_init=n, random_state=3).fit(X) for n in (1, 6))
    assert many.history_[9]["log_likelihood"] >= one.history_[9]["log_likelihood"] - 1e-9
    assert many.n_iter_ == len(many.history_) and many.converged_


def test_steps_end_at_max_iter():
    model = GaussianMixture(n_components=5, max_iter=3, random_state=0).fit(load_iris().data)
    assert model.n_iter_ == 3 and not model.converged_


@pytest.mark.parametrize("model", [GaussianMixture, BernoulliMixture])
def test_a_saved_mixture_answers_alike(model, tmp_path):
    X = load_digits().images[:300]
    fitted = model(n_components=3, random_state=0, **({"floor": 1e-2} if model is GaussianMixture else {})).fit(X)
    loaded = model.load(fitted.save(tmp_path))
    np.testing.assert_array_equal(loaded.score_samples(X), fitted.score_samples(X))
    np.testing.assert_array_equal(loaded.sample(4, random_state=1), fitted.sample(4, random_state=1))
    assert np.allclose(fitted.predict_proba(X).sum(1), 1)
    shown = {e.title: e for e in fitted.exhibits(X)}
    assert len(shown["Components"].pictures) == 3
    assert sum(shown["Responsibilities"].table["rows"]) == 300


def test_exhibits_of_a_table_have_the_columns_names():
    frame = load_iris(as_frame=True).data
    table = next(iter(GaussianMixture(n_components=2, random_state=0).fit(frame).exhibits(frame))).table
    assert list(table.columns) == ["component", *frame.columns]


@pytest.mark.parametrize("kind", KINDS)
def test_more_components_than_different_rows(kind):
    """Constant rows leave components without any; they stay as wide as the floor says."""
    model = GaussianMixture(n_components=3, covariance=kind, random_state=0).fit(np.full((12, 2), 5.0))
    assert np.isfinite(model.score_samples([[5.0, 5.0]])).all()
    np.testing.assert_allclose(model.sample(4, random_state=0), 5.0, atol=0.01)
    few = np.repeat(load_iris().data[:2], 10, 0)
    assert np.isfinite(GaussianMixture(n_components=4, covariance=kind, random_state=0).fit(few).score(few))


def test_a_row_that_no_component_can_give_has_the_prior_for_its_posterior():
    X = np.array([[1.0, 0.0, 0.0]] * 6 + [[0.0, 1.0, 0.0]] * 2)
    model = BernoulliMixture(n_components=2, smoothing=0.0, random_state=0).fit(X)
    rows = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert np.isneginf(model.score_samples(rows)[0])
    found = model.predict_proba(rows)
    np.testing.assert_allclose(found[0], model.weights_)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found[1].max() == pytest.approx(1)


def test_wrong_input_gets_a_sentence():
    X = load_iris().data
    with pytest.raises(InputError, match="singular one of component 0; raise floor"):
        GaussianMixture(floor=0.0).fit(np.repeat(X, 2, 1))
    with pytest.raises(ValueError, match="minimum of 9 is required"):
        GaussianMixture(n_components=9).fit(X[:5])
    model = GaussianMixture().fit(X)
    with pytest.raises(InputError, match="n_samples, an integer of 1 or more"):
        model.sample(0)
    with pytest.raises(InputError, match="rows of shape"):
        model.predict(X.reshape(-1, 2, 2))
