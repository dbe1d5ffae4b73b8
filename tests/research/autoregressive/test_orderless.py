"""NADE for every order: sums over all rows, its objective against all orders, gaps against the joint probabilities."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chisquare, norm
from sklearn.base import clone
from sklearn.datasets import load_digits

import gradus
from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.estimators.persistence import load
from gradus.research.autoregressive import OrderlessNADE
from gradus.research.autoregressive.orderless_network import OrderlessBits, OrderlessSteps

RARE = 1e-5
QUICK = {"hidden": (16,), "max_epochs": 3, "learning_rate": 0.01, "random_state": 0}
DIGITS = load_digits().images


def every(columns):
    """All rows of zeros and ones, the first column the slowest."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * columns)


def network(columns, hidden=(12, 10), sets=3, spread=0.5):
    """One in double precision whose weights make every dependence strong."""
    with isolated(0):
        made = OrderlessBits(torch.linspace(0.2, 0.8, columns), hidden, "tanh", sets=sets).double().eval()
        for weight in made.parameters():
            weight.detach().normal_(std=spread * (1 if weight.ndim == 1 else 2))
    return made


def permutations(columns):
    return torch.tensor(list(itertools.permutations(range(columns))))


# -- exact likelihoods ------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_probabilities_of_all_rows_sum_to_one_in_any_order():
    model, rows = network(9), every(9)
    found = []
    for seed in range(4):
        order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
        found.append(model.likelihood.log_prob(model.in_order(rows, order), rows).exp())
        assert found[-1].sum().item() == pytest.approx(1, abs=1e-10)
    assert (found[0] - found[1]).abs().max() > 1e-3  # orders are different models
    assert model.log_prob(rows).exp().sum().item() == pytest.approx(1, abs=1e-10)
    each = [model.log_prob(rows[:50], 1), *(model.likelihood.log_prob(model.logits(rows, k), rows) for k in (1, 2))]
    both = model.known_log_prob(rows, torch.ones_like(rows), model.orders())
    torch.testing.assert_close(both, model.log_prob(rows))
    torch.testing.assert_close(both[:50].exp(), sum(e[:50].exp() for e in each) / 3)


@pytest.mark.parametrize("seed", [0, 1])
@torch.no_grad()
def test_probabilities_of_16_bits_sum_to_one(seed):
    model, rows = network(16, (8,), sets=1), every(16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
    logs = model.likelihood.log_prob(model.in_order(rows, order), rows)
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-9)


@torch.no_grad()
def test_steps_are_whole_passes_with_the_columns_before_seen():
    model, rows = network(7), every(7)[::5]
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    odds = model.in_order(rows, order)
    for place, column in enumerate(order.tolist()):
        seen = torch.zeros_like(rows)
        seen[:, order[:place]] = 1
        torch.testing.assert_close(odds[:, column], model.given(rows, seen)[:, column])
        other = torch.where(seen > 0, rows, 1 - rows)  # what is not seen does not matter
        torch.testing.assert_close(model.given(other, seen), model.given(rows, seen))
    seen = (rows + rows.roll(1, 1) > 0).double()
    steps = OrderlessSteps(model, len(rows), rows, seen)
    torch.testing.assert_close(steps.logit(2), model.given(rows, seen)[:, 2])


# -- the objective ----------------------------------------------------------------------------------------------------


def masks_of(columns):
    """Every mask with a column left to see, and how often ``draw_seen`` is to draw it."""
    masks = every(columns)[:-1]
    counts = masks.sum(1).long().tolist()
    return masks, np.array([1 / (columns * math.comb(columns, count)) for count in counts])


@torch.no_grad()
def test_the_estimate_is_the_mean_over_all_orders():
    model, rows = network(4), every(4)
    masks, chances = masks_of(4)
    truth = sum(model.likelihood.log_prob(model.in_order(rows, order), rows) for order in permutations(4)) / 24

    def expected(estimate):
        return sum(p * estimate(m.expand_as(rows)) for m, p in zip(masks, chances, strict=True))

    found = expected(lambda seen: model.estimate(rows, seen))
    torch.testing.assert_close(found, truth)
    without = expected(lambda seen: model.estimate(rows, seen) * (4 - seen.sum(1)) / 4)  # planted: no factor
    assert (without - truth).abs().min() > 0.05


@torch.no_grad()
def test_masks_are_drawn_as_often_as_the_estimate_asks():
    model, n = network(4), 40_000
    masks, chances = masks_of(4)
    powers = torch.tensor([8.0, 4.0, 2.0, 1.0])

    def fits(drawn):
        seen = torch.bincount((drawn.double() @ powers.double()).long(), minlength=16)
        return seen[15] == 0 and chisquare(seen[:15], chances * n).pvalue > RARE

    assert masks.shape == (15, 4)
    drawn = model.draw_seen(n, torch.Generator().manual_seed(0))
    assert fits(drawn)
    coins = (torch.rand(2 * n, 4, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    assert not fits(coins[coins.sum(1) < 4][:n])  # planted: each column by a coin
    assert not fits(drawn[:, [0, 1, 2, 2]])  # planted: columns that go together


@torch.no_grad()
def test_training_raises_that_estimate():
    model, rows, n = network(5), every(5), 4000
    truth = sum(model.likelihood.log_prob(model.in_order(rows, order), rows) for order in permutations(5)) / 120
    drawing = torch.Generator().manual_seed(0)
    drawn = torch.stack([model.training_log_prob(rows, drawing) for _ in range(n)]).mean(1)

    def surprise(values):
        return abs(float((values.mean() - truth.mean()) / values.std())) * n**0.5

    limit = norm.isf(RARE / 2)
    assert surprise(drawn) < limit < surprise(drawn * 1.02)
    assert model.validation_log_prob(rows).equal(model.validation_log_prob(rows))


# -- rows with gaps ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_row_with_gaps_has_the_sum_of_what_would_fill_them():
    model, rows = network(6), every(6)
    order = torch.tensor([5, 2, 0, 3, 1, 4])
    known = torch.tensor([0.0, 1, 1, 0, 0, 1]).expand_as(rows)
    late = torch.cat([order[known[0][order] > 0], order[known[0][order] == 0]])  # gaps last
    joint = model.likelihood.log_prob(model.in_order(rows, late), rows).exp()
    found = model.known_log_prob(rows, known, order[None]).exp()
    for values in itertools.product([0.0, 1.0], repeat=3):
        held = (rows[:, known[0] > 0] == torch.tensor(values).double()).all(1)
        torch.testing.assert_close(found[held], joint[held].sum().expand(8))
    assert model.known_log_prob(rows, torch.zeros_like(rows), order[None]).abs().max() == 0


@torch.no_grad()
def test_gaps_are_drawn_given_what_is_known():
    model, n = network(6, spread=0.4), 20_000
    row, known = torch.tensor([1.0, 0, 0, 1, 1, 0]).double(), torch.tensor([1.0, 0, 1, 0, 0, 1]).double()
    drawn = model.complete(row.expand(n, -1), known.expand(n, -1), torch.Generator().manual_seed(0))
    assert drawn[:, known > 0].equal(row[known > 0].expand(n, -1))
    gaps = every(3)
    rows = row.repeat(8, 1)
    rows[:, known == 0] = gaps

    def chances(orders):
        each = [model.in_order(rows, torch.cat([o[known[o] > 0], o[known[o] == 0]])) for o in orders]
        logs = [((a * rows - torch.nn.functional.softplus(a)) * (1 - known)).sum(1) for a in each]
        return torch.stack(logs).exp().mean(0).numpy()

    def fits(drawn, wanted):
        seen = np.bincount((drawn[:, known == 0].numpy() @ [4, 2, 1]).astype(int), minlength=8)
        return chisquare(seen, wanted * n).pvalue > RARE

    wanted = chances(model.orders())
    assert wanted.sum() == pytest.approx(1) and fits(drawn, wanted)
    assert not fits(model.draw(n, torch.Generator().manual_seed(0)), wanted)  # planted: what is known is not looked at
    both = torch.stack([row, 1 - row]).repeat(n // 2, 1)  # rows of different gaps at once
    patterns = torch.stack([known, 1 - known]).repeat(n // 2, 1)
    mixed = model.complete(both, patterns, torch.Generator().manual_seed(1))
    assert mixed[patterns > 0].equal(both[patterns > 0])
    share = np.bincount((mixed[::2][:, known == 0].numpy() @ [4, 2, 1]).astype(int), minlength=8)
    assert chisquare(share, wanted * n / 2).pvalue > RARE


@torch.no_grad()
def test_samples_fit_the_probabilities():
    model, n = network(6, spread=0.4), 20_000
    probabilities = model.log_prob(every(6)).exp().numpy()
    drawn = model.draw(n, torch.Generator().manual_seed(5)).numpy()
    powers, kept = 2 ** np.arange(5, -1, -1), probabilities * n > 5

    def fits(rows):
        seen = np.bincount((rows @ powers).astype(int), minlength=64)
        seen = np.append(seen[kept], seen[~kept].sum() + 1)
        wanted = np.append(probabilities[kept] * n, probabilities[~kept].sum() * n + 1)
        return chisquare(seen, wanted).pvalue

    assert fits(drawn) > RARE
    assert fits(drawn[:, ::-1]) < RARE  # planted: columns in another order
    assert fits(np.random.default_rng(0).random((n, 6)) < drawn.mean(0)) < RARE  # planted: each for itself


# -- the estimator ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    bits = (DIGITS > 7) * 16.0
    return OrderlessNADE(hidden=(80,), max_epochs=60, learning_rate=0.01, random_state=0).fit(bits[:1500]), bits


def test_it_learns_every_order(fitted):
    model, bits = fitted
    share = (bits[:1500] > 0).mean(0).clip(1e-3, 1 - 1e-3)
    independent = np.where(bits[1500:] > 0, np.log(share), np.log(1 - share)).sum((1, 2)).mean()
    rng = np.random.default_rng(0)
    orders = np.stack([np.arange(64), np.arange(64)[::-1], rng.permutation(64)])
    each = [model.score_samples(bits[1500:], order=order) for order in orders]
    assert min(e.mean() for e in each) > independent + 4
    together = model.score_samples(bits[1500:], order=orders)
    np.testing.assert_allclose(together, np.log(np.mean(np.exp(each), 0)), rtol=1e-8)
    assert together.mean() > max(e.mean() for e in each)
    assert model.score(bits[1500:]) == pytest.approx(model.score_samples(bits[1500:]).mean())


def test_answers(fitted, tmp_path):
    model, bits = fitted
    rows, order = bits[1500:1520], np.random.default_rng(1).permutation(64)
    chances = model.conditionals(rows, order)
    by_hand = np.where(rows > 0, np.log(chances), np.log1p(-chances)).sum((1, 2))
    np.testing.assert_allclose(model.score_samples(rows, order), by_hand, rtol=1e-6)
    assert model.conditionals(rows)[:, 0, 0].std() > 0 == chances.reshape(20, 64)[:, order[0]].std()
    drawn = model.sample(20, random_state=0)
    assert drawn.shape == (20, 8, 8) and set(np.unique(drawn)) == {0.0, 16.0}
    same = load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(same.score_samples(rows), model.score_samples(rows))
    np.testing.assert_array_equal(same.sample(3, random_state=1), model.sample(3, random_state=1))
    assert {"Samples", "Filters", "Likelihoods"} <= {exhibit.title for exhibit in model.exhibits(rows)}
    assert gradus.OrderlessNADE is OrderlessNADE


def test_gaps_are_filled_and_judged(fitted):
    model, bits = fitted
    rows, gaps = bits[1500:], np.zeros((8, 8), dtype=bool)
    gaps[2:6, 2:6] = True
    holed = np.where(gaps, np.nan, rows)
    filled = model.impute(holed, random_state=0)
    np.testing.assert_array_equal(filled[:, ~gaps], rows[:, ~gaps])
    assert set(np.unique(filled)) == {0.0, 16.0}
    chances = model.missing_probabilities(holed)
    np.testing.assert_array_equal(chances[:, ~gaps], rows[:, ~gaps] / 16)
    right = ((chances > 0.5) == (rows > 0))[:, gaps].mean()
    commonest = (((bits[:1500] > 0).mean(0) > 0.5) == (rows > 0))[:, gaps].mean()
    assert right > commonest + 0.1
    # the row's likelihood in an order with the gaps last is that of what is known, times that of the gaps given it
    order = np.concatenate([np.flatnonzero(~gaps), np.flatnonzero(gaps)])
    rest = np.where(rows > 0, np.log(c := model.conditionals(rows, order)), np.log1p(-c))[:, gaps].sum(1)
    np.testing.assert_allclose(model.score_samples(holed, order) + rest, model.score_samples(rows, order), rtol=1e-6)
    tables = rows.reshape(len(rows), 64)
    few = OrderlessNADE(**QUICK).fit(pd.DataFrame(tables[:50]).rename(columns=str))
    frame = pd.DataFrame(holed[:5].reshape(5, 64)).rename(columns=str)
    assert few.impute(frame, random_state=0).shape == (5, 64) and np.isfinite(few.score_samples(frame)).all()


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path):
    settings = {**QUICK, "binarize": "resample"}
    whole = OrderlessNADE(**settings).fit(DIGITS[:200])
    folder = {"checkpoint": str(tmp_path / "c"), "checkpoint_every": 3}
    OrderlessNADE(**settings, **folder, max_steps=6).fit(DIGITS[:200])
    resumed = OrderlessNADE(**settings, **folder).fit(DIGITS[:200])
    for name, value in whole.network_.state_dict().items():
        assert value.equal(resumed.network_.state_dict()[name]), name


def test_validation_rows_stop_it_early():
    model = OrderlessNADE(**{**QUICK, "learning_rate": 0.1, "max_epochs": 40}, patience=2)
    model.fit((DIGITS > 7)[:100] * 1.0, X_val=(DIGITS > 7)[100:150] * 1.0)
    assert model.stopped_by_ == "early_stopping" and np.isfinite(model.history_[0]["valid_loss"])


def test_refusals(fitted):
    model, bits = fitted
    with pytest.raises(SettingError, match="one hidden layer or more"):
        clone(model).set_params(hidden=()).fit(bits[:20])
    for order in (np.arange(63), np.zeros(64, dtype=int), np.arange(64.0), np.zeros((0, 64), dtype=int)):
        with pytest.raises(InputError, match="columns 0 to 63, each once"):
            model.score_samples(bits[:2], order=order)
    with pytest.raises(TypeError, match="sample_weight"):  # two copies of a row see two masks
        OrderlessNADE(**QUICK).fit(bits[:20], sample_weight=np.ones(20))
    with pytest.raises(ValueError, match="NaN"):
        OrderlessNADE(**QUICK).fit(np.full((5, 3), np.nan))
