"""The doctor's own judgement: outputs of several parts, weighted classes, named things, and large vocabularies."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.preprocessing import OneHotEncoder
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from doctor_patients import digits, patient
from gradus.practice.doctor.checks_prepared import check_prepared
from gradus.practice.doctor.examination import examine
from gradus.practice.doctor.judge import Judge, _table, reference_skill
from gradus.practice.doctor.task import Task, answers_in, by_weights
from gradus.practice.doctor.treatments_steps import odd_loss, plain_loss
from gradus.practice.doctor.trial import run_trial

# -- outputs of several parts ----------------------------------------------------------------------------------------


class MeanAndVariance(nn.Module):
    """A number and the logarithm of its variance."""

    def __init__(self, first="mean"):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, 32), nn.SiLU())
        self.mean, self.variance, self.first = nn.Linear(32, 1), nn.Linear(32, 1), first

    def forward(self, x):
        h = self.trunk(x)
        both = self.mean(h), self.variance(h).clamp(-6, 6)
        return both if self.first == "mean" else both[::-1]


def likelihood(sign, first="mean"):
    def loss(output, target):
        mean, variance = output if first == "mean" else output[::-1]
        return 0.5 * ((-variance).exp() * (target - mean) ** 2 + sign * variance).mean()

    return loss


def named():
    """Return digits with their numbers, standardized, as what to estimate."""
    return [(x, ((y - 4.5) / 2.87)[:, None]) for x, y in digits()]


def unsure(sign=1.0, first="mean", **parts):
    network = MeanAndVariance(first)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    return patient(network, named(), loss=likelihood(sign, first), optimizer=optimizer, epochs=10, **parts)


@pytest.mark.parametrize("first", ["mean", "variance"])
def test_the_part_of_an_output_that_fits_the_target_is_judged(first):
    p = unsure(first=first)
    judge = Judge.of(p)
    run_trial(p, seconds=60, judge=judge)
    x, y = p.valid.given
    with torch.no_grad():
        answer = p.network.eval()(x)[0 if first == "mean" else 1]
    assert judge.task.kind == "numbers"
    assert judge(p)["skill"] == pytest.approx(r2_score(y, answer), abs=1e-5)
    assert r2_score(y, answer) > 0.3


def test_parts_that_may_be_the_answer():
    target = torch.tensor([0, 1, 2, 1])
    scores, hidden = torch.zeros(4, 3), torch.zeros(2, 4, 8)
    assert [part is scores for part in answers_in((scores, hidden), target)] == [True]
    assert answers_in({"scores": scores}, target) == []
    assert answers_in(scores, target)[0] is scores


def test_a_likelihood_with_the_sign_of_its_variance_turned():
    """Its loss falls as well, by ever larger variances, and the mean learns next to nothing."""
    wrong, right = (unsure(sign) for sign in (-1.0, 1.0))
    for p, causes in ((wrong, ["wrong_loss"]), (right, [])):
        found = examine(
            p.network, train=p.train.given, valid=p.valid.given, loss=p.loss, optimizer=p.optimizer,
            batch_size=p.batch_size, epochs=p.epochs,
        )  # fmt: skip
        assert found.verdict == ("faulty" if causes else "healthy")
        assert [f.cause for f in found.findings][:1] == causes


def test_the_usual_loss_of_an_output_of_several_parts():
    p = unsure()
    usual = plain_loss(p)
    x, y = p.train.first()
    output = p.network(x)
    assert torch.equal(usual.loss(output, y), F.mse_loss(output[0], y))
    assert odd_loss(p) == 0.3


# -- weighted classes ------------------------------------------------------------------------------------------------


def few(n=3):
    """Return rows of some digits, the later ones rarer."""
    parts = []
    for x, y in digits(1200):
        kept = torch.cat([(y == c).nonzero()[: 60 // 4**c, 0] for c in range(n)])
        parts.append((x[kept], y[kept]))
    return parts


@pytest.mark.parametrize(
    ("weights", "balanced"),
    [((1.0, 4.0, 16.0), True), ((1.0, 1.0, 1.0), False), ((16.0, 4.0, 1.0), False), ((1.0, 3.0, 1.0), False)],
)
def test_weights_that_make_classes_alike(weights, balanced):
    """Those that follow the numbers of rows, and no others."""
    p = patient(nn.Linear(64, 3), few(), loss=nn.CrossEntropyLoss(weight=torch.tensor(weights)))
    assert Judge.of(p).task.balanced == balanced


@pytest.mark.parametrize("evenly", [True, False])
def test_draws_that_make_classes_alike(evenly):
    """A sampler that draws rare classes as often as common ones means what weights mean."""
    (x, y), valid = few()
    weights = (1.0 / y.bincount().double())[y] if evenly else torch.ones(len(y), dtype=torch.float64)
    sampler = WeightedRandomSampler(weights, 300, generator=torch.Generator().manual_seed(0))
    train = DataLoader(TensorDataset(x, y), batch_size=30, sampler=sampler)
    assert Judge.of(patient(nn.Linear(64, 3), (train, valid))).task.balanced == evenly


def test_skill_under_weights_is_mean_recall():
    p = patient(nn.Linear(64, 3), few(), loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 4.0, 16.0])), epochs=1)
    judge = Judge.of(p)
    run_trial(p, seconds=60, judge=judge)
    x, y = p.valid.given
    with torch.no_grad():
        named = p.network(x).argmax(1)
    skill = judge(p)["skill"]
    assert skill == pytest.approx(balanced_accuracy_score(y, named, adjusted=True), abs=1e-6)
    assert skill < 0.999  # there is something to be told apart
    assert set(reference_skill(p, judge.task)) == {"linear", "trees"}


def test_weights_of_a_loss_that_cannot_be_asked():
    task = Judge.of(patient()).task
    assert not by_weights(task, lambda o, t: o[:, 99].mean(), torch.zeros(4, 10), torch.arange(1, 11)).balanced


# -- named things ----------------------------------------------------------------------------------------------------


def films(data_home, n=20_000):
    """Return who rated what, and how, in random order."""
    with np.load(data_home / "recsys" / "ml_latest_small_2016.npz") as found:
        user, film, stars = (found[name] for name in ("user", "movie", "rating"))
    pick = np.random.default_rng(0).permutation(len(user))[:n]
    names = [np.unique(column, return_inverse=True)[1][pick] for column in (user, film)]
    return torch.tensor(np.stack(names, 1)), torch.tensor(stars[pick], dtype=torch.float32)


@pytest.mark.parametrize("apart", [False, True])
def test_means_of_users_and_films_are_those_of_a_ridge_regression(data_home, apart):
    x, y = films(data_home)
    inputs = (x[:, :1], x[:, 1]) if apart else (x,)
    rows = [(*(i[part] for i in inputs), y[part]) for part in (slice(0, 19_000), slice(19_000, None))]
    p = patient(nn.Linear(2, 1), rows, loss=nn.MSELoss())
    found = reference_skill(p, Task("numbers"))
    code = OneHotEncoder(handle_unknown="ignore").fit(x[:19_000])
    line = Ridge(alpha=5.0, fit_intercept=False, solver="lsqr", tol=1e-8)
    line.fit(code.transform(x[:19_000]), y[:19_000] - y[:19_000].mean())
    expected = r2_score(y[19_000:], line.predict(code.transform(x[19_000:])) + float(y[:19_000].mean()))
    assert found == {"means": pytest.approx(expected, abs=0.01)}
    assert expected > 0.2


@pytest.mark.parametrize("anew", [True, False])
def test_films_numbered_anew_in_validation(data_home, anew):
    """As `np.unique` on the validation rows alone numbers them."""
    x, _ = films(data_home)
    valid = x[15_000:]
    if anew:
        valid = torch.stack([column.unique(return_inverse=True)[1] for column in valid.T], 1)
    found = list(check_prepared(x[:15_000], valid))
    assert {f.cause for f in found} == ({"inconsistent_preparation"} if anew else set())


def test_large_vocabularies_are_counted_as_words():
    tokens = torch.tensor(np.random.default_rng(0).integers(0, 5000, (300, 12)))
    y = (tokens[:, 0] % 2).float()
    rows = ((tokens[:200], y[:200]), (tokens[200:], y[200:]))
    assert set(reference_skill(patient(nn.Embedding(5000, 1), rows, loss=nn.MSELoss()), Task("numbers"))) == {"words"}
    few = tuple((t % 50, y) for t, y in rows)
    found = reference_skill(patient(nn.Embedding(5000, 1), few, loss=nn.MSELoss()), Task("numbers"))
    assert set(found) == {"linear", "trees"}


def test_vocabularies_larger_than_is_counted():
    """The commonest tokens have columns of their own; all others, known or not, share one."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 9000, (300, 24))
    tokens[:, :12] //= 10  # so that some are common
    ours, theirs = _table(torch.tensor(tokens[:200]), torch.tensor(tokens[200:]))
    names, counts = np.unique(tokens[:200], return_counts=True)
    order = np.argsort(-counts)[:1999]
    assert len(names) > 2000 > 1999 == len(order)
    kept = np.sort(names[order])
    for found, rows in ((ours, tokens[:200]), (theirs, tokens[200:])):
        assert found.shape == (len(rows), 2000)
        assert np.array_equal(found[:, :-1], (rows[:, :, None] == kept).sum(1))
        assert np.array_equal(found[:, -1], (~np.isin(rows, kept)).sum(1))
