"""Moment matching and adversarial networks: against enumeration, known optima, and their own resumed selves."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import polynomial_kernel as sk_polynomial
from sklearn.metrics.pairwise import rbf_kernel

from gradus.core.errors import InputError, SettingError
from gradus.estimators.persistence import load
from gradus.research.generative import GAN, MomentMatchingNetwork
from gradus.research.generative.adversarial import (
    Critic,
    CriticLoss,
    critic_losses,
    game_value,
    generator_losses,
)
from gradus.research.generative.kernels import (
    median_distance,
    mmd_squared,
    mmd_unbiased,
    polynomial_kernel,
    rbf_mixture,
)
from gradus.research.generative.moment_matching import MomentMatchingLoss
from gradus.research.generative.networks import Body, Shape

SMALL = {"hidden": (16,), "n_components": 2, "max_epochs": 3, "random_state": 0}


def gaussians(n=1000, seed=0):
    return np.random.default_rng(seed).normal([5.0, 50.0], [1.0, 10.0], (n, 2))


# -- kernels --------------------------------------------------------------------------------------------------------


def test_kernels_equal_scikit_learns():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    oracle = (rbf_kernel(a, b, gamma=1 / (2 * 0.5**2)) + rbf_kernel(a, b, gamma=1 / (2 * 2.0**2))) / 2
    np.testing.assert_allclose(rbf_mixture([0.5, 2.0])(first, second), oracle)
    np.testing.assert_allclose(polynomial_kernel(first, second), sk_polynomial(a, b, degree=3, gamma=1 / 3, coef0=1))


def test_discrepancy_equals_its_definition_pair_by_pair():
    rng = np.random.default_rng(1)
    a, b = torch.from_numpy(rng.normal(size=(6, 2))), torch.from_numpy(rng.normal(1, 1, size=(4, 2)))
    kernel = rbf_mixture([1.0])

    def k(x, y):
        return math.exp(-float((x - y).square().sum()) / 2)

    crossed = np.mean([k(x, y) for x in a for y in b])
    biased = np.mean([k(x, y) for x in a for y in a]) + np.mean([k(x, y) for x in b for y in b]) - 2 * crossed
    assert mmd_squared(a, b, kernel).item() == pytest.approx(biased)
    left = np.mean([k(a[i], a[j]) for i in range(6) for j in range(6) if i != j])
    right = np.mean([k(b[i], b[j]) for i in range(4) for j in range(4) if i != j])
    assert mmd_unbiased(a, b, kernel).item() == pytest.approx(left + right - 2 * crossed)
    with pytest.raises(InputError, match="two points"):
        mmd_unbiased(a[:1], b, kernel)


def test_discrepancy_of_gaussians_has_its_closed_form():
    """E k(x, y) of N(m, I) against N(0, I) in d dimensions: (1 + 2/s²)^(-d/2) exp(-‖m‖² / (2 (s² + 2)))."""
    source = torch.Generator().manual_seed(0)
    a = torch.randn(2000, 3, generator=source, dtype=torch.float64)
    b = torch.randn(2000, 3, generator=source, dtype=torch.float64) + torch.tensor([1.0, 0, 0])
    s2 = 1.5**2
    same = (1 + 2 / s2) ** -1.5
    truth = 2 * same - 2 * same * math.exp(-1 / (2 * (s2 + 2)))
    assert mmd_unbiased(a, b, rbf_mixture([1.5])).item() == pytest.approx(truth, abs=0.012)
    assert truth > 0.08


def test_median_heuristic():
    X = torch.randn(3000, 4, generator=torch.Generator().manual_seed(0))
    assert median_distance(X) == pytest.approx(float(torch.pdist(X).median()), rel=0.05)
    assert median_distance(torch.zeros(5, 2)) == 1.0


# -- moment matching --------------------------------------------------------------------------------------------------


def test_moment_matching_learns_a_distribution():
    model = MomentMatchingNetwork(
        hidden=(32,), n_components=4, max_epochs=60, batch_size=200, learning_rate=5e-3, random_state=0
    ).fit(gaussians(1000))
    drawn, fresh = model.sample(2000, random_state=1), gaussians(2000, seed=9)
    assert np.abs(drawn.mean(0) - [5, 50]).max() < 2 and np.abs(drawn.std(0) / [1, 10] - 1).max() < 0.2
    assert max(ks_2samp(drawn[:, j], fresh[:, j]).statistic for j in (0, 1)) < 0.08
    start = MomentMatchingNetwork(hidden=(32,), n_components=4, max_epochs=0, random_state=0).fit(gaussians())
    assert ks_2samp(start.sample(2000, random_state=1)[:, 1], fresh[:, 1]).statistic > 0.12


def test_moment_matching_says_that_it_does_not_decompose():
    assert MomentMatchingLoss().decomposes is False
    with pytest.raises(SettingError, match="does not decompose"):
        MomentMatchingNetwork(**SMALL, accumulate=2).fit(gaussians(100))


def test_the_loss_is_the_discrepancy_or_its_square():
    model = MomentMatchingNetwork(**{**SMALL, "max_epochs": 0}).fit(gaussians(100))
    network, batch = model.network_, {"inputs": torch.from_numpy(gaussians(40)).float()}
    with torch.no_grad():
        found = [MomentMatchingLoss(root)(network, batch, torch.Generator().manual_seed(0)) for root in (False, True)]
        made = network.generator(network.noise(40, torch.Generator().manual_seed(0)))
        truth = mmd_squared(network.units(batch["inputs"]), made, rbf_mixture(network.bandwidths)).item()
    assert found[0].total.item() == pytest.approx(40 * truth, rel=1e-4) and found[0].count == 40
    assert found[1].total.item() == pytest.approx(40 * math.sqrt(truth), rel=1e-4)
    assert MomentMatchingNetwork().root


def test_codes_of_an_autoencoder_are_matched():
    X = load_digits().images[:600]
    model = MomentMatchingNetwork(
        hidden=(64,), n_components=8, code_size=6, code_epochs=30, max_epochs=40, learning_rate=5e-3, batch_size=200,
        random_state=0,
    ).fit(X)  # fmt: skip
    assert model.code_history_[-1]["loss"] < 0.7 * model.code_history_[0]["loss"]
    drawn = model.sample(200, random_state=0)
    assert drawn.shape == (200, 8, 8) and drawn.min() >= 0 and drawn.max() <= 16
    assert np.abs(drawn.mean(0) - X.mean(0)).mean() < 1.5
    widths = model.network_.bandwidths
    assert widths[2].item() == pytest.approx(4 * widths[0].item()) and widths[2] < 3  # of codes between 0 and 1
    with torch.no_grad():
        codes = model.network_.matched(torch.from_numpy(X.reshape(600, -1)).float())
    assert widths[2].item() == pytest.approx(median_distance(codes), rel=0.05)


def test_a_generator_of_codes_goes_on_only_where_its_autoencoder_is_the_same(tmp_path, monkeypatch):
    settings = {**SMALL, "code_size": 3, "code_epochs": 4, "max_epochs": 3, "batch_size": 50}
    kept = {"checkpoint": str(tmp_path / "c"), "checkpoint_every": 2}
    X = load_digits().images[:150]
    whole = MomentMatchingNetwork(**settings).fit(X)

    def same(model):
        names = whole.network_.state_dict()
        return all(value.equal(model.network_.state_dict()[name]) for name, value in names.items())

    # of 12 steps of the autoencoder and 9 of the generator the first run makes 5 each: codes of a half-trained one
    assert not same(MomentMatchingNetwork(**settings, max_steps=5, **kept).fit(X))
    with monkeypatch.context() as patched:  # the second dies as the autoencoder is ready and no generator of its is
        patched.setattr(MomentMatchingNetwork, "_measure_codes", lambda *_: (_ for _ in ()).throw(OSError("no power")))
        with pytest.raises(OSError, match="no power"):
            MomentMatchingNetwork(**settings, **kept).fit(X)
    assert same(MomentMatchingNetwork(**settings, **kept).fit(X))
    again = MomentMatchingNetwork(**settings, max_steps=12, **kept).fit(X)
    assert same(again) and again.n_steps_ == 9


def test_codes_are_not_matched_by_a_network_made_anew():
    X = load_digits().images[:60]
    model = MomentMatchingNetwork(**SMALL, code_size=3, code_epochs=1, retrain="epochs")
    with pytest.raises(SettingError, match="retrain other than 'epochs'"):
        model.fit(X[:40], X_val=X[40:])
    assert model.set_params(retrain="continue").fit(X[:40], X_val=X[40:]).stopped_by_ in ("max_epochs", "target")


# -- the game ---------------------------------------------------------------------------------------------------------


def test_the_best_critic_is_p_over_p_plus_q_and_the_value_follows():
    p, q = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.1, 0.3, 0.6]).double()
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def lowered():
        optimizer.zero_grad()
        first = (p * critic_losses("non_saturating", logits, torch.full_like(logits, -1e9))).sum()
        second = (q * critic_losses("non_saturating", torch.full_like(logits, 1e9), logits)).sum()
        (first + second).backward()
        return first + second

    optimizer.step(lowered)
    torch.testing.assert_close(torch.sigmoid(logits.detach()), p / (p + q), rtol=1e-4, atol=1e-5)
    middle = (p + q) / 2
    js = 0.5 * ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum())
    value = game_value(logits, logits, p, q).item()
    assert value == pytest.approx(-math.log(4) + 2 * js.item(), abs=1e-6)
    assert game_value(torch.zeros(3).double(), torch.zeros(3).double(), p, p).item() == pytest.approx(-math.log(4))
    assert value == pytest.approx(-lowered().item())


def test_generator_moves_towards_the_data_and_stops_there():
    """Of discrete distributions, against the best critic: the gradient of the value in q is that of 2 JS."""
    p = torch.tensor([0.5, 0.3, 0.2]).double()
    scores = torch.tensor([0.4, -0.2, 0.1], dtype=torch.float64, requires_grad=True)

    def gradient(kind, scores):
        q = scores.softmax(0)
        best = (p / q.detach()).log()  # log-odds of p / (p + q)
        return torch.autograd.grad((q * generator_losses(kind, best)).sum(), scores)[0]

    middle = (p + scores.softmax(0)) / 2
    q = scores.softmax(0)
    twice = (p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()
    torch.testing.assert_close(gradient("saturating", scores), torch.autograd.grad(twice, scores)[0])
    at_data = p.log().detach().requires_grad_()
    for kind in ("saturating", "non_saturating", "wasserstein", "hinge"):
        assert gradient(kind, at_data).abs().max() < 1e-12
        assert torch.dot(gradient(kind, scores), torch.tensor([1.0, 0, -1]).double() * 0 + (q - p).detach()) > 0


def test_other_games():
    real, fake = torch.tensor([2.0, -0.5]), torch.tensor([0.3, -3.0])
    torch.testing.assert_close(critic_losses("hinge", real, fake), torch.tensor([1.3, 1.5]))
    torch.testing.assert_close(critic_losses("wasserstein", real, fake), fake - real)
    with pytest.raises(SettingError, match="loss to be one of"):
        critic_losses("lsgan", real, fake)


def test_penalty_of_a_linear_critic_is_known():
    """The slope of a linear critic is its weight, wherever it is taken."""
    model = GAN(**{**SMALL, "hidden": (), "max_epochs": 0}, gradient_penalty=1.0).fit(gaussians(50))
    game = model.network_.double()
    with torch.no_grad():
        game.critic.last.weight.copy_(torch.tensor([[3.0, 4.0]]))
    batch = {"inputs": torch.from_numpy(gaussians(8))}
    totals = [CriticLoss("wasserstein", w)(game, batch, torch.Generator().manual_seed(0)).total for w in (0.0, 10.0)]
    assert (totals[1] - totals[0]).item() == pytest.approx(10 * (5 - 1) ** 2 * 8)
    (slope,) = torch.autograd.grad(totals[1] - totals[0], game.critic.last.weight)
    torch.testing.assert_close(slope, 8 * 10 * 2 * 4 * torch.tensor([[0.6, 0.8]]).double())


def test_penalty_is_taken_evenly_between_real_and_generated_points():
    """A bowl's slope at u is u: with real points at length 2 and generated ones at 0 the mean of (2 s - 1)² is 1/3."""
    game = SimpleNamespace(
        units=lambda rows: rows,
        noise=lambda size, generator: torch.zeros(size, 1),
        generator=lambda noise: torch.zeros(len(noise), 2, dtype=torch.float64),
        critic=lambda points: 0.5 * points.square().sum(1),
    )
    batch = {"inputs": torch.tensor([[1.2, 1.6]], dtype=torch.float64).expand(20_000, -1)}
    totals = [CriticLoss("wasserstein", w)(game, batch, torch.Generator().manual_seed(0)).total for w in (0.0, 1.0)]
    found, error = (totals[1] - totals[0]).item() / 20_000, math.sqrt((1 / 5 - 1 / 9) / 20_000)
    assert abs(found - 1 / 3) < 4.5 * error
    assert min(abs(found - wrong) for wrong in (0.0, 1.0)) > 100 * error  # half way, or at either end


def test_spectral_norm_bounds_every_layer():
    torch.manual_seed(0)
    critic = Critic(Body(64, Shape("conv", (16,), (4, 8), "leaky_relu"), (8, 8)), spectral=True)
    for _ in range(200):  # one step of power iteration each
        critic(torch.randn(4, 64))
    critic.eval()
    for layer in (m for m in critic.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)):
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.02)
    assert "body.dense.layers.0.parametrizations.weight.original" in critic.state_dict()


@pytest.fixture(scope="module")
def fitted():
    settings = {"hidden": (32,), "n_components": 4, "max_epochs": 60, "learning_rate": 2e-3, "random_state": 0}
    return GAN(**settings).fit(gaussians())


def test_the_value_comes_near_its_optimum(fitted):
    X = gaussians(1000, seed=4)
    assert fitted.value(X, random_state=0) == pytest.approx(-math.log(4), abs=0.05)
    drawn = fitted.sample(2000, random_state=0)
    assert np.abs(drawn.mean(0) - [5, 50]).max() < 4 and np.abs(np.log(drawn.std(0) / [1, 10])).max() < 0.4
    far = X + np.array([0.0, 400.0])
    assert fitted.critic_scores(far).mean() != pytest.approx(fitted.critic_scores(X).mean(), abs=0.5)
    assert fitted.generate(np.zeros((2, 4))).shape == (2, 2)
    with pytest.raises(InputError, match=r"noise of shape \(n, 4\)"):
        fitted.generate(np.zeros((2, 3)))


KINDS = {
    "wasserstein": {"loss": "wasserstein", "gradient_penalty": 10.0, "critic_steps": 3},
    "hinge with spectral norm": {"loss": "hinge", "spectral_norm": True, "critic_rate": 2.0},
    "convolutional": {"network": "conv", "channels": (4, 8), "normalization": "batch", "critic_normalization": "batch"},
    "saturating": {"loss": "saturating", "prior": "uniform", "output": "linear"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_resumes_to_the_same_bits_and_is_kept(kind, tmp_path):
    X, settings = load_digits().images[:150], {**SMALL, **KINDS[kind]}
    whole = GAN(**settings).fit(X)
    assert {"critic_loss", "generator_loss"} <= whole.history_[0].keys()
    # nine steps in all; the first run is cut inside the second epoch, and between two steps of the generator
    GAN(**settings, max_steps=4, checkpoint=str(tmp_path / "c"), checkpoint_every=2).fit(X)
    resumed = GAN(**settings, checkpoint=str(tmp_path / "c"), checkpoint_every=2).fit(X)
    for name, value in whole.network_.state_dict().items():
        assert value.equal(resumed.network_.state_dict()[name]), name
    same = load(whole.save(tmp_path / "gan"))
    np.testing.assert_array_equal(same.sample(3, random_state=1), whole.sample(3, random_state=1))
    np.testing.assert_array_equal(same.critic_scores(X[:3]), whole.critic_scores(X[:3]))
    assert whole.sample(3).shape == (3, 8, 8)


def test_players_take_turns_at_their_own_rates():
    model = GAN(**SMALL, critic_steps=2, critic_rate=3.0, beta1=0.25)
    model.seed_, model.row_shape_, model.median_distance_ = 0, (2,), 1.0
    model.bounded_, model.location_, model.scale_ = False, np.zeros(2, np.float32), np.ones(2, np.float32)
    critic, maker = model._players(model._build(), model, 0)
    assert (critic.every, maker.every) == (1, 2)
    assert critic.optimizers[0].param_groups[0]["lr"] == pytest.approx(6e-4)
    assert maker.optimizers[0].param_groups[0]["lr"] == pytest.approx(2e-4)
    assert critic.optimizers[0].param_groups[0]["betas"] == (0.25, 0.999)


def test_validation_follows_the_kernel_distance():
    model = GAN(**{**SMALL, "max_epochs": 5}, learning_rate=1e-3).fit(gaussians(200), X_val=gaussians(100, seed=3))
    assert 0 < model.history_[0]["valid_loss"] < 2 and model.best_epoch_ is not None


def test_game_refusals():
    with pytest.raises(SettingError, match="bound on the critic's slope"):
        GAN(**SMALL, loss="wasserstein").fit(gaussians(50))
    with pytest.raises(SettingError, match="batch normalization"):
        GAN(**SMALL, gradient_penalty=1.0, critic_normalization="batch").fit(gaussians(50))
    with pytest.raises(SettingError, match="log-odds"):
        GAN(**SMALL, loss="hinge").fit(gaussians(50)).value(gaussians(5))
    with pytest.raises(InputError, match="pictures"):
        GAN(**SMALL, network="conv").fit(gaussians(50))
