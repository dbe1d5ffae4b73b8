"""Exactness of the models of bits: sums over all rows, triangular Jacobians, gradients, samples, an outside optimum."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import gradus
from gradus.core.errors import InputError, SettingError
from gradus.estimators.persistence import load
from gradus.research.autoregressive import FVBN, MADE, NADE
from gradus.research.autoregressive.bit_networks import LinearBits, MaskedBits, NadeBits
from gradus.research.autoregressive.masked import MaskedNetwork, MaskedSteps, draw_positions
from gradus.research.autoregressive.nade_function import BLOCK, nade_logits
from gradus.research.autoregressive.rows import LikelihoodLoss

SMALLEST = 1e-5
QUICK = {"max_epochs": 3, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def bits():
    return (load_digits().images > 7).astype(float)


def every(columns):
    """All rows of zeros and ones, the first column the slowest."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * columns)


def mean(columns):
    return torch.linspace(0.2, 0.8, columns)


def scrambled(network, seed=0):
    """The network in double precision, with weights that make every dependence strong."""
    source = torch.Generator().manual_seed(seed)
    network = network.double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(generator=source)
    return network


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return scrambled(make(), seed)


MADE_SETTINGS = {"hidden": (24,), "sets": 3, "order": "each"}
NETWORKS = {
    "fvbn": lambda d: LinearBits(mean(d)),
    "fvbn, random order": lambda d: LinearBits(mean(d), "random"),
    "nade": lambda d: NadeBits(mean(d), 12),
    "nade, random order": lambda d: NadeBits(mean(d), 12, "random"),
    "made": lambda d: MaskedBits(mean(d), (24,)),
    "made, two layers, tanh, no direct": lambda d: MaskedBits(mean(d), (24, 20), "tanh", direct=False),
    "made, random order": lambda d: MaskedBits(mean(d), (24,), order="random"),
    "made, three masks": lambda d: MaskedBits(mean(d), (24, 24), sets=3),
    "made, three orders": lambda d: MaskedBits(mean(d), **MADE_SETTINGS),
    "made, wider than units": lambda d: MaskedBits(mean(d), (5, 3)),
    "made, no hidden layer": lambda d: MaskedBits(mean(d), ()),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_probabilities_of_all_rows_sum_to_one(make):
    network = seeded(lambda: make(10))
    rows = every(10)
    assert network.log_prob(rows).exp().sum().item() == pytest.approx(1, abs=1e-7)
    for which in range(network.sets):  # and those of each set of masks
        logs = network.likelihood.log_prob(network.logits(rows, which), rows)
        assert logs.exp().sum().item() == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("name", ["fvbn", "nade", "made, three orders"])
@torch.no_grad()
def test_probabilities_of_16_bits_sum_to_one(name):
    assert seeded(lambda: NETWORKS[name](16)).log_prob(every(16)).exp().sum().item() == pytest.approx(1, abs=1e-7)


@torch.no_grad()
def test_the_sum_sees_a_column_that_looks_at_itself():
    network = seeded(lambda: LinearBits(mean(6)))
    whole = network.masked_weight
    network.masked_weight = lambda: whole() + torch.eye(6).double()
    assert abs(network.log_prob(every(6)).exp().sum().item() - 1) > 0.1


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_columns_depend_on_those_before_them_in_the_stated_order(make):
    network = seeded(lambda: make(9))
    point = torch.rand(1, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for which in range(network.sets):

        def odds(x, which=which):
            return network.logits(x, which)[0]

        jacobian = torch.autograd.functional.jacobian(odds, point)[:, 0]
        order = network.order(which)
        assert sorted(order.tolist()) == list(range(9))
        ordered = jacobian[order][:, order]
        assert ordered.triu().abs().max() == 0
        assert (ordered.tril(-1) != 0).sum() > 20  # of 36: they do depend


def test_fvbn_and_nade_and_wide_made_see_all_columns_before():
    for make in (NETWORKS["fvbn"], NETWORKS["nade"], lambda d: MaskedBits(mean(d), (64,), "tanh")):
        network = seeded(lambda make=make: make(7))
        point = torch.rand(1, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda x: network.logits(x)[0], point)[:, 0]  # noqa: B023
        assert (jacobian.tril(-1) != 0).sum() == 21


def test_nade_is_the_product_of_its_conditionals_written_out():
    network = seeded(lambda: NadeBits(mean(40), 6, "random"))  # more than two blocks of columns
    rows = (torch.rand(5, 40, generator=torch.Generator().manual_seed(3)) < 0.5).double()
    order, total = network.order().tolist(), torch.zeros(5, dtype=torch.float64)
    for place, column in enumerate(order):
        before = order[:place]
        hidden = torch.sigmoid(network.hidden_bias + rows[:, before] @ network.into[before])
        one = torch.sigmoid(network.bias[column] + hidden @ network.out[column])
        total += torch.where(rows[:, column] == 1, one, 1 - one).log()
    torch.testing.assert_close(network.log_prob(rows), total, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("columns", [1, BLOCK, 2 * BLOCK + 3])
def test_gradient_of_nade(columns):
    source = torch.Generator().manual_seed(0)

    def free(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64, requires_grad=True)

    given = (free(2, columns), free(columns, 3), free(3), free(columns, 3), free(columns))
    assert torch.autograd.gradcheck(nade_logits, given)


def test_a_mixture_of_masks_is_their_mean():
    network = seeded(lambda: MaskedBits(mean(6), **MADE_SETTINGS))
    rows = every(6)
    with torch.no_grad():
        each = [network.likelihood.log_prob(network.logits(rows, k), rows).exp() for k in range(3)]
        assert (each[0] - each[1]).abs().max() > 0.01
        torch.testing.assert_close(network.log_prob(rows).exp(), sum(each) / 3)
        drawn = {float(network.training_log_prob(rows, torch.Generator().manual_seed(s))[5]) for s in range(20)}
        torch.testing.assert_close(network.log_prob(rows, 2).exp(), (each[0] + each[1]) / 2)
    assert {round(v, 9) for v in drawn} == {round(float(e[5].log()), 9) for e in each}


@pytest.mark.parametrize(
    "name", ["fvbn, random order", "nade, random order", "made, random order", "made, three orders"]
)
@torch.no_grad()
def test_samples_fit_the_probabilities(name):
    network, n = seeded(lambda: NETWORKS[name](6), 4), 20_000
    for weight in network.parameters():
        weight.mul_(0.5)
    probabilities = network.log_prob(every(6)).exp().numpy()
    drawn = network.draw(n, torch.Generator().manual_seed(5)).numpy()
    powers = 2 ** np.arange(5, -1, -1)

    def fits(rows):
        seen = np.bincount((rows @ powers).astype(int), minlength=64)
        kept = probabilities * n > 5
        seen, wanted = np.append(seen[kept], seen[~kept].sum() + 1), np.append(probabilities[kept] * n, 0)
        wanted[-1] = probabilities[~kept].sum() * n + 1
        return chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue

    assert fits(drawn) > SMALLEST
    # planted: columns in another order, and columns drawn without those before them
    assert fits(drawn[:, ::-1]) < SMALLEST
    alone = np.random.default_rng(0).random((n, 6)) < drawn.mean(0)
    assert fits(alone) < SMALLEST


def test_fvbn_ends_in_the_logistic_regressions_of_scikit_learn(bits):
    # a concave problem: column by column the same optimum as an outside solver's, penalty included
    X = bits[:300].reshape(300, -1)[:, 18:30]
    penalty = 0.02
    model = FVBN(optimizer="lbfgs", learning_rate=1.0, batch_size=300, max_epochs=200, l2=penalty, random_state=0).fit(
        X
    )
    weight = model.network_.masked_weight().detach().numpy()
    for column in (3, 7, 11):
        peer = LogisticRegression(C=1 / (penalty * 300), tol=1e-10, max_iter=10_000).fit(X[:, :column], X[:, column])
        np.testing.assert_allclose(weight[column, :column], peer.coef_[0], atol=2e-3)
        np.testing.assert_allclose(model.network_.bias[column].item(), peer.intercept_[0], atol=2e-3)


@pytest.mark.parametrize("hidden", [(), (20,), (20, 15, 10)], ids=str)
@pytest.mark.parametrize("direct", [True, False])
@torch.no_grad()
def test_steps_are_what_whole_passes_give(hidden, direct):
    positions = draw_positions(7, 2, "each")
    network = seeded(lambda: MaskedNetwork(7, hidden, 3, activation="tanh", direct=direct, positions=positions))
    rows = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for which in range(2):
        steps, whole = MaskedSteps(network, 4, which), network(rows, which)
        for column in network.order(which).tolist():
            torch.testing.assert_close(steps.numbers(column), whole[:, column])
            steps.add(column, rows[:, column])


def test_loss_is_the_weighted_sum(bits):
    network = seeded(lambda: NadeBits(mean(64), 5))
    rows = torch.from_numpy(bits[:7].reshape(7, -1))
    weights = torch.tensor([0.0, 1, 2, 0.5, 3, 1, 1]).double()
    loss = LikelihoodLoss(full=16.0)(network, {"inputs": rows * 16, "weights": weights}, torch.Generator())
    assert loss.total.item() == pytest.approx(-(weights * network.log_prob(rows)).sum().item())
    assert float(loss.count) == 8.5


@pytest.mark.parametrize("model", [FVBN(**QUICK), NADE(hidden=16, **QUICK), MADE(hidden=(16,), **QUICK)], ids=repr)
def test_answers(bits, tmp_path, model):
    model.fit(bits[:300] * 16)  # a full pixel is 16
    drawn = model.sample(20, random_state=0)
    assert drawn.shape == (20, 8, 8) and set(np.unique(drawn)) == {0.0, 16.0}
    rows = bits[300:320] * 16
    chances = model.conditionals(rows)
    by_hand = np.where(rows > 0, np.log(chances), np.log1p(-chances)).sum((1, 2))
    np.testing.assert_allclose(model.score_samples(rows), by_hand, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([model.score_samples(r[None]) for r in rows]), by_hand, rtol=1e-6)
    same = load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(same.score_samples(rows), model.score_samples(rows))
    np.testing.assert_array_equal(same.sample(3, random_state=1), model.sample(3, random_state=1))
    shown = {e.title: e for e in model.exhibits(rows)}
    assert {"Learning curves", "Samples", "Filters", "Likelihoods", "Nearest rows"} == set(shown)
    assert shown["Samples"].pictures and shown["Filters"].pictures


@pytest.mark.parametrize("cls", [FVBN, NADE, MADE])
def test_learning_beats_independent_columns(bits, cls):
    few = {"hidden": {FVBN: None, NADE: 24, MADE: (48,)}[cls]} if cls is not FVBN else {}
    model = cls(**few, max_epochs=15, learning_rate=0.01, random_state=0).fit(bits[:1500])
    share = bits[:1500].mean(0).clip(1e-3, 1 - 1e-3)
    independent = np.where(bits[1500:] > 0, np.log(share), np.log(1 - share)).sum((1, 2)).mean()
    assert model.score(bits[1500:]) > independent + 5


@pytest.mark.parametrize(
    "model",
    [
        NADE(hidden=8, order="random", **{**QUICK, "max_epochs": 4}, binarize="resample"),
        MADE(hidden=(8, 8), masks=4, order="each", **{**QUICK, "max_epochs": 4}),
    ],
    ids=repr,
)
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, model):
    digits, settings = load_digits().images[:200], model.get_params()
    whole = type(model)(**settings).fit(digits)
    folder = {"checkpoint": str(tmp_path / "c"), "checkpoint_every": 3}
    type(model)(**{**settings, "max_steps": 6, **folder}).fit(digits)
    resumed = type(model)(**{**settings, **folder}).fit(digits)
    for name, value in whole.network_.state_dict().items():
        assert value.equal(resumed.network_.state_dict()[name]), name


def test_random_orders_survive_saving(bits, tmp_path):
    for model in (FVBN(order="random", **QUICK), MADE(hidden=(8,), masks=3, order="each", **QUICK)):
        model.fit(bits[:100])
        assert model.network_.order().tolist() != list(range(64))
        same = load(model.save(tmp_path / "model"))
        assert same.network_.order().tolist() == model.network_.order().tolist()
        np.testing.assert_array_equal(same.score_samples(bits[:5]), model.score_samples(bits[:5]))


def test_a_likelihood_of_bits_is_never_quoted_on_grey_pixels():
    digits = load_digits().images
    for binarize in ("none", "fixed", "resample"):
        model = FVBN(**QUICK, binarize=binarize)
        if binarize == "none":
            with pytest.raises(InputError, match="0 or 16 where the likelihood is Bernoulli"):
                model.fit(digits)
            model.fit((digits > 8) * 16.0)
        else:
            model.fit(digits[:200])
        for method in (model.score_samples, model.score, model.conditionals):
            with pytest.raises(InputError, match="Bernoulli"):
                method(digits[:3])
        assert np.isfinite(model.score(model.binarized(digits[:3], random_state=0)))
    cut = FVBN(**QUICK).fit(digits[:200])
    np.testing.assert_array_equal(cut.score_samples(digits[:3]), cut.score_samples((digits[:3] > 8) * 16.0))
    with pytest.raises(InputError, match="between 0 and 16"):
        FVBN(**QUICK, binarize="fixed", pixel_scale=16).fit(digits * 2)


@pytest.mark.parametrize("binarize", ["fixed", "resample"])
def test_weights_are_refused_where_bits_are_drawn(binarize):
    digits, weights = load_digits().images[:20], np.arange(1.0, 21.0)
    with pytest.raises(InputError, match="no sample_weight where pixels are drawn"):
        FVBN(**QUICK, binarize=binarize).fit(digits, sample_weight=weights)
    cut = FVBN(**QUICK).fit(digits, sample_weight=weights)  # one batch: a weight is a repetition
    again = FVBN(**{**QUICK, "batch_size": 300}).fit(np.repeat(digits, weights.astype(int), axis=0))
    np.testing.assert_allclose(cut.network_.bias.detach(), again.network_.bias.detach(), atol=1e-6)


def test_fixed_bits_stay_and_resampled_bits_change():
    grey = np.full((40, 6), 0.5)
    batch = FVBN(**QUICK, binarize="fixed").fit(grey)
    again = FVBN(**QUICK, binarize="fixed").fit(grey)
    np.testing.assert_array_equal(batch.network_.weight.detach(), again.network_.weight.detach())
    losses = {}
    for kind in ("fixed", "resample"):
        model = FVBN(binarize=kind, max_epochs=300, learning_rate=0.05, random_state=0).fit(grey)
        losses[kind] = np.mean([row["loss"] for row in model.history_[-20:]])
    # 40 rows of fair coins, drawn once, can be learned by heart; drawn anew they cannot
    assert losses["fixed"] < 6 * np.log(2) - 0.2 < losses["resample"]


def test_validation_rows_stop_it_early(bits):
    model = MADE(hidden=(8,), masks=2, max_epochs=30, patience=1, learning_rate=0.05, random_state=0)
    model.fit(bits[:100], X_val=bits[100:150])
    assert {"valid_loss", "valid_score"} <= model.history_[0].keys()
    best = model.history_[model.best_epoch_]
    assert model.score(bits[100:150]) == pytest.approx(best["valid_score"], abs=1e-4)


def test_refusals():
    with pytest.raises(SettingError, match="hidden"):
        MaskedNetwork(3, (0,))
    with pytest.raises(InputError, match="positions 0 to 2"):
        MaskedNetwork(3, (4,), positions=torch.tensor([[0, 0, 1]]))
    with pytest.raises(SettingError, match="masks"):
        MADE(masks=0).fit(np.eye(3))
    assert draw_positions(5, 3, "random").unique(dim=0).shape == (1, 5)


def test_package_finds_them_by_name():
    assert gradus.FVBN is FVBN and gradus.NADE is NADE and gradus.MADE is MADE
