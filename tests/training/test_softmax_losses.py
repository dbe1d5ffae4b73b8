"""Cheap losses over many classes end where the full softmax does: the true conditional distribution."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.networks.heads import CategoricalHead
from gradus.networks.softmax import AliasTable, HierarchicalSoftmax, TwoLevelSoftmax, balanced_tree, huffman_tree
from gradus.training.loop import Trainer
from gradus.training.losses import head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player
from gradus.training.softmax_losses import NoiseContrastiveLoss, SampledSoftmaxLoss, StructuredSoftmaxLoss

CONTEXTS, CLASSES = 4, 30
# What a model that knows only the frequencies of the classes is away from the truth, in nats: 0.36.
BOUND = 4e-3


def truth():
    """Return p(y | x): classes of very different frequency, tilted in each context; every context equally likely."""
    rng = np.random.default_rng(0)
    scores = -np.log(np.arange(1, CLASSES + 1)) + rng.normal(0, 1.2, (CONTEXTS, CLASSES))
    return torch.from_numpy(scores).log_softmax(1)


def every_pair():
    """All pairs of context and class, each weighted by its probability: the expectation, without sampling error."""
    x = torch.arange(CONTEXTS).repeat_interleave(CLASSES)
    y = torch.arange(CLASSES).repeat(CONTEXTS)
    weights = truth().exp()[x, y] / CONTEXTS
    return {"inputs": F.one_hot(x, CONTEXTS).double(), "targets": y, "weights": weights}


def noise():
    """The frequency of each class over all contexts."""
    return AliasTable.of(truth().exp().mean(0).numpy())


class Plain(nn.Module):
    """Features as they come, one row or one time step each, and a head."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def features(self, inputs):
        return inputs

    def forward(self, inputs):
        return self.head(inputs)


class Again:
    """One batch, a hundred times an epoch."""

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return 100

    def epoch(self, epoch, start=0):
        yield from [self.batch] * (100 - start)


def network(head=None):
    with isolated(0):
        return Plain(head or CategoricalHead(CONTEXTS, CLASSES)).double()


def trained(loss, head=None, steps=3000, rate=0.03):
    made = network(head)
    options = TrainingOptions(max_epochs=steps // 100, learning_rate=rate, schedule="cosine", average_decay=0.998)
    Trainer(made, [Player("network", made, loss, options, seed=1)], Again(every_pair()), options).run()
    return made.eval()


@torch.no_grad()
def log_answers(made):
    return made(torch.eye(CONTEXTS, dtype=torch.float64)).log_softmax(1)


def divergence(p, q):
    """KL(p || q) of log-probabilities, the mean over contexts, in nats."""
    return float((p.exp() * (p - q)).sum(1).mean())


def test_the_problem_is_not_trivial():
    p = truth()
    frequencies = p.exp().mean(0, keepdim=True).log()
    assert divergence(p, frequencies) > 0.3
    assert p.exp().min() < 1e-3 and p.exp().max() > 0.2


# -- each ends at the truth -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        lambda: HierarchicalSoftmax(CONTEXTS, huffman_tree(truth().exp().sum(0).tolist())),
        lambda: HierarchicalSoftmax(CONTEXTS, balanced_tree(CLASSES)),
        lambda: TwoLevelSoftmax(CONTEXTS, CLASSES),
    ],
    ids=["huffman", "balanced", "two-level"],
)
def test_structured_softmax_converges_to_the_truth(head):
    made = trained(StructuredSoftmaxLoss(), head(), steps=1000)
    assert divergence(truth(), log_answers(made)) < 1e-4


def test_the_full_softmax_converges_to_the_truth():
    full = network().head
    assert divergence(truth(), log_answers(trained(head_loss(full), full, steps=1000))) < 1e-4


@pytest.mark.parametrize(("samples", "steps"), [(8, 3000), pytest.param(2, 20_000, marks=pytest.mark.slow)])
def test_ranking_converges_to_the_truth_with_few_samples(samples, steps):
    made = trained(SampledSoftmaxLoss(noise(), samples), steps=steps)
    assert divergence(truth(), log_answers(made)) < BOUND


def test_without_the_correction_it_converges_to_something_else():
    """Scores then learn log p / q: the frequent classes are underrated as often as they are drawn."""
    made = trained(SampledSoftmaxLoss(noise(), 8, corrected=False))
    found, p = log_answers(made), truth()
    assert divergence(p, found) > 0.4  # further off than a model that looks at no context
    tilted = (p - noise().log_probabilities).log_softmax(1)
    assert divergence(tilted, found) < 2 * BOUND


def test_importance_sampling_converges_to_the_truth_with_many_samples():
    made = trained(SampledSoftmaxLoss(noise(), 200, estimator="importance"), steps=2000)
    assert divergence(truth(), log_answers(made)) < BOUND


def test_the_gradient_of_importance_sampling_tends_to_the_full_one():
    made, batch = network(), every_pair()
    with torch.no_grad():
        made.head.linear.weight.mul_(3)  # away from uniform, where any estimate would do
    weight = made.head.linear.weight

    def gradient(loss, seed=0):
        total = loss(made, batch, generator(seed)).total
        return torch.autograd.grad(total, weight)[0]

    full = gradient(head_loss(made.head))
    errors = []
    for samples in (30, 300, 30_000):
        loss = SampledSoftmaxLoss(noise(), samples, estimator="importance")
        mean = torch.stack([gradient(loss, seed) for seed in range(20)]).mean(0)
        errors.append(float((mean - full).norm() / full.norm()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2] and errors[2] < 0.01


@pytest.mark.parametrize("normalizer", [0.0, math.log(CLASSES)])
def test_noise_contrastive_estimation_converges_to_the_truth_and_normalizes_itself(normalizer):
    made = trained(NoiseContrastiveLoss(noise(), 10, log_normalizer=normalizer))
    assert divergence(truth(), log_answers(made)) < BOUND
    with torch.no_grad():
        sums = made(torch.eye(CONTEXTS, dtype=torch.float64)).logsumexp(1)
    torch.testing.assert_close(sums, torch.full((CONTEXTS,), normalizer, dtype=torch.float64), atol=0.03, rtol=0)


# -- the formulas -----------------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """Scores 1, 2, 3 for three classes, whatever the input."""

    def __init__(self):
        super().__init__()
        self.head = CategoricalHead(1, 3).double()
        with torch.no_grad():
            self.head.linear.weight.copy_(torch.tensor([[1.0], [2.0], [3.0]]))
            self.head.linear.bias.zero_()

    def features(self, inputs):
        return inputs


def test_losses_by_hand():
    """Noise of one class only would be refused, so noise that is almost surely class 2: every sample is class 2."""
    table = AliasTable.of([1e-12, 1e-12, 1.0])
    batch = {"inputs": torch.ones(1, 1, dtype=torch.float64), "targets": torch.tensor([1])}
    log_q = math.log(1e-12)

    def value(loss):
        return loss(Fixed(), batch, generator(0)).total.item()

    importance = SampledSoftmaxLoss(table, 2, estimator="importance")
    assert value(importance) == pytest.approx(3.0 - 2.0)  # log of the mean of e^3 / 1, twice, minus the score of 1
    corrected = 2.0 - log_q
    expected = math.log(math.exp(corrected) + 2 * math.exp(3.0)) - corrected
    assert value(SampledSoftmaxLoss(table, 2)) == pytest.approx(expected, abs=1e-5)
    expected = math.log(math.exp(2) + 2 * math.exp(3)) - 2
    assert value(SampledSoftmaxLoss(table, 2, corrected=False)) == pytest.approx(expected)
    own = math.log1p(math.exp(math.log(2) + log_q + 0.5 - 2.0))
    false = 2 * math.log1p(math.exp(3.0 - 0.5 - math.log(2)))
    assert value(NoiseContrastiveLoss(table, 2, log_normalizer=0.5)) == pytest.approx(own + false, abs=1e-6)


LOSSES = {
    "structured": lambda: StructuredSoftmaxLoss(),
    "ranking": lambda: SampledSoftmaxLoss(noise(), 5),
    "importance": lambda: SampledSoftmaxLoss(noise(), 5, estimator="importance"),
    "nce": lambda: NoiseContrastiveLoss(noise(), 5),
}


@pytest.mark.parametrize("name", LOSSES)
def test_totals_are_sums_also_over_time_steps_and_weights(name):
    loss = LOSSES[name]()
    made = network(TwoLevelSoftmax(CONTEXTS, CLASSES) if name == "structured" else None)
    batch = every_pair()
    del batch["weights"]
    flat = loss(made, batch, generator(3))
    assert flat.count == CONTEXTS * CLASSES
    steps = {"inputs": batch["inputs"].view(CONTEXTS, CLASSES, -1), "targets": batch["targets"].view(CONTEXTS, -1)}
    torch.testing.assert_close(loss(made, steps, generator(3)).total, flat.total)
    twice = loss(made, {**batch, "weights": torch.full((len(batch["targets"]),), 2.0)}, generator(3))
    torch.testing.assert_close(twice.total, 2 * flat.total)
    assert float(twice.count) == 2 * flat.count
    one = {name: tensor[:1] for name, tensor in batch.items()}
    rest = {name: tensor[1:] for name, tensor in batch.items()}
    parts = loss(made, one, generator(3)).total + loss(made, rest, generator(3)).total
    torch.testing.assert_close(parts, flat.total)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    loss = LOSSES[name]()
    made = network(TwoLevelSoftmax(CONTEXTS, CLASSES) if name == "structured" else None)
    names, values = zip(*made.named_parameters(), strict=True)
    batch = every_pair()

    def total(*weights):
        with torch.nn.utils.stateless._reparametrize_module(made, dict(zip(names, weights, strict=True))):
            return loss(made, batch, generator(0)).total

    assert torch.autograd.gradcheck(total, tuple(v.detach().clone().requires_grad_() for v in values))


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: SampledSoftmaxLoss(noise(), 0), SettingError, "samples of 1 or more"),
        (lambda: SampledSoftmaxLoss(noise(), estimator="?"), SettingError, "ranking, importance"),
        (lambda: NoiseContrastiveLoss(AliasTable.of([1.0, 0.0])), SettingError, "every class has a chance"),
        (
            lambda: NoiseContrastiveLoss(AliasTable.of([1.0, 2.0]))(network(), every_pair(), generator(0)),
            InputError,
            "noise over 30 classes, got 2",
        ),
        (
            lambda: SampledSoftmaxLoss(noise())(
                network(), {**every_pair(), "targets": torch.zeros(3, dtype=torch.int64)}, generator(0)
            ),
            InputError,
            r"targets of shape \(120,\)",
        ),
        (
            lambda: SampledSoftmaxLoss(noise())(network(), {**every_pair(), "weights": torch.ones(3)}, generator(0)),
            InputError,
            r"weights of shape \(120,\)",
        ),
    ],
)
def test_bad_input_is_refused(act, error, message):
    with pytest.raises(error, match=message):
        act()
