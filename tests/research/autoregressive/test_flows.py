"""Exactness of flows: inverses, determinants, splines, densities that integrate to one, samples, an outside library."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, norm
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.mixture import GaussianMixture

import gradus
from gradus.core.errors import InputError
from gradus.estimators.persistence import load
from gradus.research.autoregressive import MaskedAutoregressiveFlow, NeuralSplineFlow, RealNVP
from gradus.research.autoregressive.flow_layers import (
    AffineAutoregressive,
    AffineCoupling,
    LinearMixing,
    Permutation,
    SplineCoupling,
    Whitening,
    log_scale,
)
from gradus.research.autoregressive.flows import Flow
from gradus.research.autoregressive.splines import Knots, knots_of, spline, spline_inverse

SMALLEST = 1e-5
QUICK = {"layers": 3, "hidden": (16,), "max_epochs": 4, "learning_rate": 5e-3, "random_state": 0}
FLOWS = (RealNVP, NeuralSplineFlow, MaskedAutoregressiveFlow)


def whitening(columns):
    factor = torch.randn(columns, columns).tril(-1) + torch.diag(torch.rand(columns) + 0.5)
    return Whitening(torch.randn(columns) * 5, torch.rand(columns) + 0.2, factor)


LAYERS = {
    "whitening": whitening,
    "permutation": lambda d: Permutation(torch.randperm(d)),
    "linear": LinearMixing,
    "affine": lambda d: AffineCoupling(d, (16,), "tanh"),
    "affine, first half": lambda d: AffineCoupling(d, (16,), "tanh", second=True),
    "spline": lambda d: SplineCoupling(d, (16,), "tanh", bins=5, bound=2.5),
    "spline, first half": lambda d: SplineCoupling(d, (16,), "tanh", second=True),
    "masked": lambda d: AffineAutoregressive(d, (24,), "tanh"),
}


def strong(make, seed=0):
    """A layer in double precision with weights far from the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = make().double().eval()
        with torch.no_grad():
            for weight in layer.parameters():
                weight.add_(torch.randn_like(weight) * 0.5)
    return layer


def points(n, columns, seed=2, width=1.5):
    return torch.randn(n, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * width


@pytest.mark.parametrize("columns", [1, 2, 5])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_inverse_and_determinant_of_each_layer(make, columns):
    layer, rows = strong(lambda: make(columns)), points(40, columns)
    codes, logs = layer(rows)
    torch.testing.assert_close(layer.inverse(codes), rows, rtol=0, atol=1e-9)
    assert logs.shape == (40,)
    for row, log in zip(rows[:8], logs, strict=False):
        jacobian = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0][0], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log, rtol=1e-9, atol=1e-9)
    if not isinstance(layer, Permutation):
        assert (codes - rows).abs().max() > 0.1


@pytest.mark.parametrize("cls", FLOWS)
def test_inverse_and_determinant_of_a_fitted_flow(cls):
    X = load_iris().data
    model = cls(**QUICK).fit(X)
    codes = model.transform(X)
    np.testing.assert_allclose(model.inverse_transform(codes), X, atol=1e-5)
    network = model.network_.double()
    rows = torch.from_numpy(X[:6].astype(np.float32).astype(np.float64))
    for row, score in zip(rows, model.score_samples(X[:6]), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x[None])[0][0], row)
        by_hand = norm.logpdf(network(row[None])[0].detach().numpy()).sum() + torch.linalg.slogdet(jacobian)[1].item()
        assert score == pytest.approx(by_hand, abs=1e-8)
    network.float()
    single = network.inverse(network(rows.float())[0])  # in single precision, too
    torch.testing.assert_close(single, rows.float(), rtol=0, atol=1e-4)


def test_masked_layer_is_triangular_in_its_order():
    layer, row = strong(lambda: AffineAutoregressive(6, (40,), "tanh")), points(1, 6)[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0][0], row)
    ordered = jacobian[layer.order()][:, layer.order()]
    assert ordered.triu(1).abs().max() == 0
    assert (ordered.tril() != 0).sum() == 21 and (ordered.diagonal() > 0).all()


def test_couplings_leave_half_of_the_columns():
    for second, kept in ((False, [0, 1]), (True, [2, 3, 4])):
        layer, rows = strong(lambda second=second: AffineCoupling(5, (8,), second=second)), points(9, 5)
        changed = (layer(rows)[0] != rows).all(0)
        assert (~changed).nonzero()[:, 0].tolist() == kept


def test_scales_are_bounded_and_free_near_zero():
    assert log_scale(torch.tensor(-1e9)).item() == -3
    small = torch.tensor(1e-3, dtype=torch.float64)
    assert log_scale(small).item() == pytest.approx(1e-3, rel=1e-6)


# -- splines -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def knots():
    return knots_of(points(1, 3 * 7 - 1, seed=1, width=2.0), bound=3.0)


def on_grid(knots, values):
    return spline(values, type(knots)(*(part.expand(len(values), -1) for part in knots)))


def test_spline_passes_its_knots_with_their_slopes(knots):
    inner = knots.x[0, 1:-1]
    for side in (-1e-9, 0.0, 1e-9):  # the slope is continuous
        image, log_slope = on_grid(knots, inner + side)
        torch.testing.assert_close(image, knots.y[0, 1:-1], rtol=0, atol=1e-7)
        torch.testing.assert_close(log_slope.exp(), knots.slope[0, 1:-1], rtol=1e-5, atol=1e-6)
    ends = torch.tensor([-3.0, 3.0], dtype=torch.float64)
    image, log_slope = on_grid(knots, ends * (1 - 1e-12))
    torch.testing.assert_close(image, ends, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_slope, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-6)


def test_spline_is_monotone_and_its_slope_is_its_derivative(knots):
    grid = torch.linspace(-4, 4, 4001, dtype=torch.float64, requires_grad=True)
    image, log_slope = on_grid(knots, grid)
    assert (image.diff() > 0).all()
    slope = torch.autograd.grad(image.sum(), grid)[0]
    torch.testing.assert_close(slope.log(), log_slope, rtol=1e-9, atol=1e-9)
    outside = grid.detach().abs() >= 3
    torch.testing.assert_close(image[outside], grid[outside])
    assert (log_slope[outside] == 0).all()
    wide = type(knots)(*(part.expand(len(grid), -1) for part in knots))
    torch.testing.assert_close(spline_inverse(image, wide), grid, rtol=0, atol=1e-10)


def test_spline_of_zeros_is_the_identity():
    knots = knots_of(torch.zeros(100, 23, dtype=torch.float64), bound=2.0)
    values = torch.linspace(-1.99, 1.99, 100, dtype=torch.float64)
    image, log_slope = spline(values, knots)
    torch.testing.assert_close(image, values, rtol=0, atol=1e-12)
    assert log_slope.abs().max() < 1e-12


def test_spline_at_extreme_parameters_stays_invertible():
    numbers = points(500, 23, width=30.0)
    knots = knots_of(numbers, bound=3.0)
    values = torch.rand(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 6 - 3
    image, log_slope = spline(values, knots)
    assert log_slope.isfinite().all() and (image.abs() <= 3).all()
    torch.testing.assert_close(spline_inverse(image, knots), values, rtol=0, atol=1e-5)


# -- an outside library ------------------------------------------------------------------------------------------------


def test_spline_equals_zuko():
    zuko = pytest.importorskip("zuko")
    widths, heights, slopes = points(200, 6, 1), points(200, 6, 2), points(200, 5, 3)
    values = points(200, 1, 4)[:, 0] * 2
    bound, least = 4.0, 1e-3
    peer = zuko.transforms.MonotonicRQSTransform(widths, heights, slopes, bound=bound, slope=least)
    # zuko squashes its parameters before softmax and exp: take the knots that it makes of them
    knots = Knots(peer.horizontal, peer.vertical, peer.derivatives)
    image, log_slope = spline(values, knots)
    wanted, wanted_log = peer.call_and_ladj(values)
    torch.testing.assert_close(image, wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_slope, wanted_log, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(spline_inverse(image, knots), peer.inv(image), rtol=1e-8, atol=1e-8)


def test_masked_flow_equals_zuko():
    zuko = pytest.importorskip("zuko")
    layer = strong(lambda: AffineAutoregressive(3, (16,), "tanh"))
    rows = points(20, 3)

    def meta(x):
        numbers = layer.body(x)
        scales = log_scale(numbers[..., 1])
        shift, log = -numbers[..., 0] * (-scales).exp(), -scales
        return zuko.transforms.DependentTransform(torch.distributions.transforms.AffineTransform(shift, log.exp()), 1)

    peer = zuko.transforms.AutoregressiveTransform(meta, passes=3)
    codes, logs = layer(rows)
    wanted, wanted_logs = peer.call_and_ladj(rows)
    torch.testing.assert_close(codes, wanted)
    torch.testing.assert_close(logs, wanted_logs)
    torch.testing.assert_close(layer.inverse(codes), peer.inv(codes))


# -- densities and samples ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def petals():
    return load_iris().data[:, 2:] * [10.0, 1.0]  # millimetres and centimetres


@pytest.fixture(scope="module", params=FLOWS, ids=lambda cls: cls.__name__)
def fitted(request, petals):
    jittered = petals + np.random.default_rng(0).uniform(-0.5, 0.5, petals.shape) * [1.0, 0.1]
    settings = {"layers": 4, "hidden": (24, 24), "max_epochs": 60, "batch_size": 50, "learning_rate": 3e-3}
    return request.param(**settings, random_state=0).fit(jittered)


def on_plane(model, steps=401):
    """log-densities on a grid that holds all mass, and the area of a cell."""
    drawn = model.sample(20_000, random_state=1)
    low, high = drawn.min(0), drawn.max(0)
    low, high = low - 0.3 * (high - low), high + 0.3 * (high - low)
    axes = [np.linspace(low[i], high[i], steps) for i in range(2)]
    plane = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    area = (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    return model.score_samples(plane).reshape(steps, steps), area, axes


def test_density_integrates_to_one_in_the_units_of_the_data(fitted):
    logs, area, _ = on_plane(fitted)
    assert np.exp(logs).sum() * area == pytest.approx(1, abs=0.01)
    assert np.exp(logs + np.log(fitted.scale_.prod())).sum() * area > 2  # planted: standardization forgotten


def test_samples_fit_the_density(fitted):
    n = 4000
    logs, area, axes = on_plane(fitted)
    drawn = fitted.sample(n, random_state=9)
    edges = [np.quantile(drawn[:, i], np.linspace(0, 1, 7))[1:-1] for i in range(2)]
    cells = [np.searchsorted(edges[i], axes[i]) for i in range(2)]
    mass = np.zeros((6, 6))
    np.add.at(mass, (cells[0][:, None], cells[1][None]), np.exp(logs) * area)
    mass /= mass.sum()

    def fits(values):
        found = [np.searchsorted(edges[i], values[:, i]) for i in range(2)]
        seen = np.zeros((6, 6))
        np.add.at(seen, tuple(found), 1)
        kept = mass * n > 8
        seen = np.append(seen[kept], seen[~kept].sum() + 1)
        wanted = np.append(mass[kept] * n, mass[~kept].sum() * n + 1)
        return chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue

    assert fits(drawn) > SMALLEST
    rng = np.random.default_rng(0)
    assert fits(np.stack([rng.permutation(column) for column in drawn.T], 1)) < SMALLEST  # planted: columns apart
    assert fits(drawn + 0.3 * drawn.std(0)) < SMALLEST  # planted: moved


def test_units_move_the_density_by_their_logarithm(petals):
    for cls in FLOWS:
        large, small = cls(**QUICK).fit(petals), cls(**QUICK).fit(petals / [8.0, 2.0] + 100)
        moved = small.score_samples(petals / [8.0, 2.0] + 100) - large.score_samples(petals)
        np.testing.assert_allclose(moved, np.log(16), atol=2e-2)


def test_before_training_it_is_the_gaussian_of_the_rows():
    X = load_breast_cancer().data[:, :6]
    peer = GaussianMixture(1, reg_covar=0).fit(X)
    for cls in FLOWS:
        settings = {"layers": 2, "hidden": (8,), "max_epochs": 0, "random_state": 0, "mixing": "reverse"}
        start = cls(**settings).fit(X)
        np.testing.assert_allclose(start.score(X), peer.score(X), atol=0.06)  # the ridge moves it a little
        weights = np.arange(len(X)) % 3
        weighted = cls(**settings).fit(X, sample_weight=weights)
        repeated = GaussianMixture(1, reg_covar=0).fit(np.repeat(X, weights, axis=0))
        np.testing.assert_allclose(weighted.score(X), repeated.score(X), atol=0.06)
        apart = cls(**settings, whiten=False).fit(X)
        wanted = norm.logpdf(X, X.mean(0), X.std(0)).sum(1)
        np.testing.assert_allclose(apart.score_samples(X), wanted, rtol=1e-4, atol=1e-3)


def test_a_constant_column_counts_as_one_of_deviation_one():
    X = load_breast_cancer().data[:, :3]
    settings = {"layers": 1, "hidden": (4,), "max_epochs": 0, "mixing": "reverse", "random_state": 0}
    plain, wide = RealNVP(**settings).fit(X), RealNVP(**settings).fit(np.column_stack([X, np.full(len(X), 7.0)]))
    added = wide.score(np.column_stack([X, np.full(len(X), 7.0)])) - plain.score(X)
    assert added == pytest.approx(norm.logpdf(0), abs=1e-3)


def test_learning_beats_the_gaussian():
    X = load_breast_cancer().data[:, :10]
    gaussian = GaussianMixture(1).fit(X[:400]).score(X[400:])
    for cls in FLOWS:
        assert cls(layers=4, max_epochs=10, random_state=0).fit(X[:400]).score(X[400:]) > gaussian + 0.5


def test_codes_of_rows_are_standard_normal(fitted, petals):
    codes = fitted.transform(petals)
    assert np.abs(codes.mean(0)).max() < 0.35
    assert np.abs(codes.std(0) - 1).max() < 0.3


@pytest.mark.parametrize("mixing", ["reverse", "shuffle", "linear"])
@pytest.mark.parametrize("cls", FLOWS)
def test_saved_and_loaded_it_answers_the_same(tmp_path, cls, mixing):
    X = load_iris().data
    model = cls(**QUICK, mixing=mixing, whiten=mixing != "shuffle").fit(X)
    same = load(model.save(tmp_path / "flow"))
    np.testing.assert_array_equal(same.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(same.transform(X), model.transform(X))
    np.testing.assert_array_equal(same.sample(3, random_state=1), model.sample(3, random_state=1))
    assert model.sample(3, random_state=1).shape == (3, 4)


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path):
    X, settings = load_iris().data, {**QUICK, "dropout": 0.1, "max_epochs": 6}
    whole = NeuralSplineFlow(**settings).fit(X)
    folder = {"checkpoint": str(tmp_path / "c"), "checkpoint_every": 3}
    NeuralSplineFlow(**settings, max_steps=7, **folder).fit(X)
    resumed = NeuralSplineFlow(**settings, **folder).fit(X)
    for name, value in whole.network_.state_dict().items():
        assert value.equal(resumed.network_.state_dict()[name]), name


def test_columns_that_are_constant_or_sums_of_others():
    X = load_iris().data
    X = np.column_stack([X, X[:, 0] + X[:, 1], np.full(len(X), 7.0)])
    for cls in FLOWS:
        model = cls(**QUICK).fit(X)
        assert np.isfinite(model.score_samples(X)).all()
        np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-5)


def test_pictures_and_exhibits(petals):
    from sklearn.datasets import load_digits

    digits = load_digits()
    model = RealNVP(**{**QUICK, "max_epochs": 1}).fit(digits.images[:200])
    assert model.sample(2, random_state=0).shape == (2, 8, 8)
    assert model.inverse_transform(np.zeros((3, 64))).shape == (3, 8, 8)
    shown = {e.title: e for e in model.exhibits((digits.images[:50], digits.target[:50]))}
    assert set(shown) == {"Learning curves", "Samples", "Likelihoods", "Latent map", "Nearest rows"}
    plane = {e.title: e for e in MaskedAutoregressiveFlow(**QUICK).fit(petals).exhibits(petals)}
    heat = plane["Density"].figure["data"][0]
    assert heat["type"] == "heatmap"
    cell = (heat["x"][1] - heat["x"][0]) * (heat["y"][1] - heat["y"][0])
    assert 0.8 < np.sum(heat["z"]) * cell < 1.05


def test_refusals():
    model = RealNVP(**QUICK).fit(load_iris().data)
    with pytest.raises(InputError, match=r"codes of shape \(n, 4\)"):
        model.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(InputError, match="n_samples"):
        model.sample(0)


def test_one_column_learns_its_density():
    X = load_iris().data[:, [2]]
    X = X + np.random.default_rng(0).uniform(-0.05, 0.05, X.shape)
    model = NeuralSplineFlow(layers=2, hidden=(8,), max_epochs=60, learning_rate=0.02, random_state=0).fit(X)
    assert model.score(X) > GaussianMixture(1).fit(X).score(X) + 0.3  # two humps
    grid = np.linspace(-20, 30, 5001)[:, None]
    assert np.exp(model.score_samples(grid)).sum() * 0.01 == pytest.approx(1, abs=1e-3)


def test_a_flow_of_no_layers_is_the_normal_distribution():
    rows = points(10, 3)
    logs = Flow(3, []).log_prob(rows)
    np.testing.assert_allclose(logs, norm.logpdf(rows).sum(1))


def test_package_finds_them_by_name():
    for cls in FLOWS:
        assert getattr(gradus, cls.__name__) is cls
