"""Variational autoencoders as estimators: rows of every kind, refusals, samples that fit their density, resuming."""

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.datasets import load_digits

import gradus
from gradus.core.errors import InputError, SettingError
from gradus.estimators.persistence import load
from gradus.research.autoregressive import NADE, PixelCNN
from gradus.research.generative import IWAE, VAE, SigmoidBeliefNet

SMALLEST = 1e-5
QUICK = {"n_components": 2, "hidden": (16,), "max_epochs": 3, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    return load_digits().images


def integrated(model, X, width=8.0, steps=1001):
    """log p(x) of a model of one latent number, by the trapezoid rule over its code."""
    import torch

    codes = torch.linspace(-width, width, steps, dtype=torch.float64)
    network = model.network_.double()
    rows = torch.from_numpy(np.asarray(X, dtype=np.float64))
    with torch.no_grad():
        logs = network.likelihood.log_prob(network.decoder(codes[:, None, None].expand(-1, len(rows), -1)), rows)
    prior = -0.5 * codes.square() - 0.5 * np.log(2 * np.pi) + np.log(float(codes[1] - codes[0]))
    found = torch.logsumexp(logs + prior[:, None], 0).numpy()
    network.float()
    return found


def two_humps(n, seed=0):
    rng = np.random.default_rng(seed)
    return (np.where(rng.random(n) < 0.3, 40.0, 100.0) + rng.normal(0, 8, n))[:, None]


@pytest.fixture(scope="module")
def humps():
    return VAE(n_components=1, hidden=(32,), max_epochs=80, learning_rate=5e-3, batch_size=200, random_state=1).fit(
        two_humps(2000)
    )


def test_density_is_in_the_units_of_the_data(humps):
    grid = np.linspace(-50, 200, 1001)[:, None]
    total = np.exp(integrated(humps, grid)).sum() * 0.25
    assert total == pytest.approx(1, abs=1e-3)
    X = two_humps(1000, seed=5)
    # the source's entropy is 0.611 + log(8 sqrt(2 π e)) = 4.109 nats, one Gaussian's cross-entropy 4.8
    assert -4.35 < integrated(humps, X).mean() < -4.0
    # the same column in other units: a density's logarithm moves by that of the unit
    small = VAE(**{**humps.get_params(), "max_epochs": 2}).fit(X / 10)
    large = VAE(**{**humps.get_params(), "max_epochs": 2}).fit(X)
    moved = integrated(small, X[:200] / 10) - integrated(large, X[:200])
    np.testing.assert_allclose(moved, np.log(10), atol=1e-3)


def test_bound_lies_below_the_density_and_closes(humps):
    X = two_humps(400, seed=3)
    exact = integrated(humps, X).mean()
    elbo = humps.elbo(X, samples=50).mean()
    bounds = [humps.score_samples(X, samples=k).mean() for k in (5, 500)]
    assert elbo < bounds[0] + 0.02 and elbo < bounds[1] < exact + 0.005
    assert exact - bounds[1] < 0.02


def test_samples_fit_the_density(humps):
    n, edges = 20_000, np.linspace(0, 140, 29)
    drawn = humps.sample(n, random_state=7)[:, 0]
    middle = np.linspace(0, 140, 561)
    density = np.exp(integrated(humps, middle[:, None]))
    mass = np.array([np.trapezoid(density[i * 20 : i * 20 + 21], dx=0.25) for i in range(28)])

    def fits(values):
        seen = np.histogram(values, edges)[0]
        seen, wanted = np.append(seen, n - seen.sum()), np.append(mass, max(1e-9, 1 - mass.sum())) * n
        kept = wanted > 5
        seen, wanted = np.append(seen[kept], seen[~kept].sum() + 1), np.append(wanted[kept], wanted[~kept].sum() + 1)
        return chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue

    assert fits(drawn) > SMALLEST
    means = humps.inverse_transform(np.random.default_rng(0).standard_normal((n, 1)))[:, 0]
    assert fits(means) < SMALLEST  # planted: samples without the noise of p(x | z)


def test_bits_and_their_samples_fit_the_probabilities():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.random((3000, 2)) < 0.5, 2, axis=1) ^ (rng.random((3000, 4)) < 0.1)
    model = VAE(n_components=1, hidden=(16,), max_epochs=20, learning_rate=0.01, random_state=0).fit(X.astype(float))
    assert model.likelihood_ == "bernoulli"
    states = (np.arange(16)[:, None] >> np.arange(4) & 1).astype(float)
    probabilities = np.exp(integrated(model, states))
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)
    drawn = model.sample(20_000, random_state=2) @ (1 << np.arange(4))
    counts = np.bincount(drawn.astype(int), minlength=16)
    assert chisquare(counts, probabilities * 20_000).pvalue > SMALLEST
    assert chisquare(counts, probabilities[::-1] * 20_000).pvalue < SMALLEST


def test_likelihoods_are_chosen_and_rows_keep_their_shape(digits):
    for settings, X, kind in [
        ({}, digits, "gaussian"),
        ({"spread": "learned", "network": "conv", "channels": (4, 8)}, digits, "gaussian"),
        ({"binarize": "resample"}, digits, "bernoulli"),
        ({"binarize": "fixed", "network": "conv", "channels": (4,)}, digits, "bernoulli"),
        ({"likelihood": "discretized_logistic", "levels": 17}, digits, "discretized_logistic"),
        ({"likelihood": "categorical"}, (digits // 6).reshape(-1, 64), "categorical"),
        ({"network": "conv", "channels": (4,)}, np.stack([digits] * 3, -1)[:, :7], "gaussian"),
    ]:
        model = VAE(**QUICK, **settings).fit(X[:300])
        assert model.likelihood_ == kind
        assert model.sample(5, random_state=0).shape == (5, *X.shape[1:])
        assert model.transform(X[:4]).shape == (4, 2)
        assert model.inverse_transform(np.zeros((3, 2))).shape == (3, *X.shape[1:])
        if kind in ("bernoulli", "categorical", "discretized_logistic"):
            allowed = {"bernoulli": {0.0, 16.0}, "categorical": {0.0, 1.0, 2.0}}.get(kind, set(map(float, range(17))))
            assert set(model.sample(50, random_state=0).ravel().tolist()) <= allowed
        scored = model.binarized(X[:4], random_state=0) if kind == "bernoulli" else X[:4]
        assert np.isfinite(model.score_samples(scored)).all()


def test_a_bernoulli_likelihood_is_never_quoted_on_grey_pixels(digits):
    with pytest.raises(InputError, match="0 or 16 where the likelihood is Bernoulli"):
        VAE(**QUICK, likelihood="bernoulli").fit(digits)
    model = VAE(**QUICK, binarize="resample").fit(digits[:200])
    for method in (model.score_samples, model.elbo, model.score):
        with pytest.raises(InputError, match="Bernoulli"):
            method(digits[:3])
    assert np.isfinite(model.score(model.binarized(digits[:3], random_state=0)))
    cut = VAE(**QUICK, binarize="threshold").fit(digits[:200])
    np.testing.assert_array_equal(cut.score_samples(digits[:3]), cut.score_samples((digits[:3] > 8) * 16.0))


def test_settings_changed_after_the_fit_change_no_answer(digits):
    for cls in (VAE, SigmoidBeliefNet, NADE, PixelCNN):
        small = {VAE: QUICK, NADE: {"hidden": 4}, SigmoidBeliefNet: {"hidden": (4,)}}.get(
            cls, {"features": 4, "depth": 1}
        )
        settings = {**small, "max_epochs": 1, "random_state": 0}
        drawn, cut = (cls(**settings, binarize=kind).fit(digits[:100]) for kind in ("resample", "threshold"))
        whole = cut.score_samples(digits[:3])
        drawn.set_params(binarize="threshold")
        with pytest.raises(InputError, match="Bernoulli"):
            drawn.score_samples(digits[:3])
        cut.set_params(binarize="none")
        np.testing.assert_array_equal(cut.score_samples(digits[:3]), whole)


def test_other_refusals(digits):
    with pytest.raises(InputError, match="whole numbers from 0 to 255"):
        VAE(**QUICK, likelihood="discretized_logistic").fit(digits / 16)
    with pytest.raises(SettingError, match="rows are made bits"):
        VAE(**QUICK, likelihood="gaussian", binarize="fixed").fit(digits)
    with pytest.raises(InputError, match="pictures where network='conv'"):
        VAE(**QUICK, network="conv").fit(digits.reshape(-1, 64))
    with pytest.raises(SettingError, match="likelihood of pixels"):
        VAE(**QUICK, network="conv", likelihood="categorical").fit(digits)
    model = VAE(**QUICK, likelihood="categorical").fit([[0.0, 1.0], [1.0, 1.0], [0.0, 3.0]])
    with pytest.raises(InputError, match="column 1 that fit saw"):
        model.score_samples([[0.0, 2.0]])
    with pytest.raises(InputError, match=r"codes of shape \(n, 2\)"):
        model.inverse_transform([[0.0]])
    with pytest.raises(InputError, match="1 or more"):
        model.score_samples([[0.0, 1.0]], samples=0)


def test_answers_do_not_depend_on_the_rows_beside_them(digits):
    model = IWAE(**QUICK, binarize="resample").fit(digits[:200])
    bits = model.binarized(digits[:6], random_state=0)
    whole = model.score_samples(bits)
    np.testing.assert_allclose(np.concatenate([model.score_samples(b[None]) for b in bits]), whole, rtol=1e-9)
    np.testing.assert_allclose(model.score_samples(bits[::-1])[::-1], whole, rtol=1e-9)
    assert len(set(whole)) == 6
    weights = model.log_importance_weights(bits, samples=100)
    assert weights.shape == (100, 6)
    np.testing.assert_allclose(np.log(np.exp(weights - weights.max(0)).mean(0)) + weights.max(0), whole)


def test_learning_beats_independent_pixels(digits):
    X = digits / 16
    model = IWAE(n_components=8, hidden=(64,), binarize="resample", max_epochs=20, learning_rate=3e-3, random_state=0)
    bits = model.fit(X[:1500]).binarized(X[1500:], random_state=0)
    share = X[:1500].mean(0).clip(1e-3, 1 - 1e-3)
    independent = np.where(bits > 0, np.log(share), np.log(1 - share)).sum((1, 2)).mean()
    assert model.score(bits) > independent + 3
    divergence = model.divergences(bits)
    assert divergence.shape == (297, 8) and (divergence >= 0).all() and divergence.mean(0).max() > 0.5


@pytest.mark.parametrize("settings", [{}, {"binarize": "fixed"}, {"network": "conv", "channels": (4,)}], ids=str)
def test_saved_and_loaded_it_answers_the_same(digits, tmp_path, settings):
    model = VAE(**QUICK, **settings).fit(digits[:200])
    same = load(model.save(tmp_path / "vae"))
    rows = model.binarized(digits[:5], random_state=0) if settings.get("binarize") else digits[:5]
    np.testing.assert_array_equal(same.transform(rows), model.transform(rows))
    np.testing.assert_array_equal(same.score_samples(rows), model.score_samples(rows))
    np.testing.assert_array_equal(same.sample(3, random_state=1), model.sample(3, random_state=1))


def test_categories_survive_saving(tmp_path):
    X = np.random.default_rng(0).integers(0, [3, 5], (60, 2)).astype(float)
    model = VAE(**QUICK, likelihood="categorical").fit(X)
    same = load(model.save(tmp_path / "vae"))
    np.testing.assert_array_equal(same.score_samples(X), model.score_samples(X))


@pytest.mark.parametrize(("estimator", "precision"), [(IWAE, "float32"), (VAE, "float32"), (VAE, "bf16")])
def test_a_stopped_training_goes_on_to_the_same_bits(estimator, precision, digits, tmp_path):
    settings = {**QUICK, "max_epochs": 4, "binarize": "resample", "precision": precision}
    kept = {"checkpoint": str(tmp_path / "c"), "checkpoint_every": 3}
    whole = estimator(**settings).fit(digits[:200])
    estimator(**{**settings, "max_steps": 5}, **kept).fit(digits[:200])
    resumed = estimator(**settings, **kept).fit(digits[:200])
    assert resumed.n_steps_ == whole.n_steps_ > 5
    for name, value in whole.network_.state_dict().items():
        assert value.equal(resumed.network_.state_dict()[name]), name


def test_validation_rows_stop_it_early(digits):
    model = VAE(**{**QUICK, "max_epochs": 30}, binarize="resample", patience=1)
    model.fit(digits[:100], X_val=digits[100:150])
    assert {"valid_loss", "valid_score"} <= model.history_[0].keys()
    assert model.best_epoch_ is not None


def test_package_finds_them_by_name():
    assert gradus.VAE is VAE and gradus.IWAE is IWAE
