"""Trees, structured softmaxes and the alias table: codes by hand, enumeration, the full softmax, statistics."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import CategoricalHead, Head
from gradus.networks.softmax import (
    AliasTable,
    HierarchicalSoftmax,
    TwoLevelSoftmax,
    balanced_tree,
    huffman_tree,
)
from gradus.networks.softmax.hierarchical import check_targets
from gradus.training.losses import head_loss
from gradus.training.softmax_losses import StructuredSoftmaxLoss

D, B = 5, 7
ZIPF = [1000 / rank for rank in range(1, 24)]
HEADS = {
    "huffman": lambda: HierarchicalSoftmax(D, huffman_tree(ZIPF)),
    "balanced": lambda: HierarchicalSoftmax(D, balanced_tree(23)),
    "two classes": lambda: HierarchicalSoftmax(D, balanced_tree(2)),
    "chain": lambda: HierarchicalSoftmax(D, huffman_tree([2.0**i for i in range(9)])),
    "two-level": lambda: TwoLevelSoftmax(D, 23),
    "uneven groups": lambda: TwoLevelSoftmax(D, [2, 0, 0, 1, 0, 2, 0]),
}
every = pytest.mark.parametrize("name", HEADS)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


# -- trees ------------------------------------------------------------------------------------------------------


def test_huffman_codes_by_hand():
    # 45 13 12 16 9 5: the example of Cormen et al., Introduction to Algorithms, §16.3: lengths 1 3 3 3 4 4
    tree = huffman_tree([45, 13, 12, 16, 9, 5])
    assert tree.lengths().tolist() == [1, 3, 3, 3, 4, 4]


@pytest.mark.parametrize("counts", [[3, 1, 1], [8, 4, 2, 1, 1], [5, 5, 5, 5, 5], [0, 0, 1, 7], [1, 2, 3, 4, 5, 6, 7]])
def test_no_prefix_code_is_shorter_than_huffmans(counts):
    lengths = huffman_tree(counts).lengths().numpy()
    n = len(counts)
    # all lengths that some prefix code has (Kraft)
    possible = [c for c in itertools.product(range(1, n), repeat=n) if sum(2.0**-length for length in c) <= 1]
    assert lengths @ counts == min(np.dot(c, counts) for c in possible)


@pytest.mark.parametrize("tree", [huffman_tree(ZIPF), balanced_tree(23), balanced_tree(2), balanced_tree(1024)])
def test_ways_are_a_complete_prefix_code_through_each_inner_node(tree):
    codes = sorted(tree.codes())
    assert len(set(codes)) == len(codes)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(codes))
    assert sum(2.0 ** -len(code) for code in codes) == 1
    used = {int(node) for row, n in zip(tree.nodes, tree.lengths(), strict=True) for node in row[:n]}
    assert used == set(range(len(codes) - 1))
    assert (tree.nodes[:, 0] == 0).all()


def test_a_balanced_tree_is_as_deep_as_the_logarithm_and_keeps_the_order():
    for n in (2, 3, 7, 8, 9, 100):
        tree = balanced_tree(n)
        assert tree.nodes.shape == (n, math.ceil(math.log2(n)))
        assert tree.codes() == sorted(tree.codes())


# -- structured softmaxes ---------------------------------------------------------------------------------------


@every
def test_probabilities_sum_to_one_and_one_class_agrees_with_all(name):
    head, features = HEADS[name]().double(), 3 * torch.randn(B, D, dtype=torch.float64)
    logs = head(features)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(B, dtype=torch.float64), atol=1e-12, rtol=0)
    for k in range(head.classes):
        torch.testing.assert_close(head.log_prob(features, torch.full((B,), k)), logs[:, k])


def test_a_tree_of_three_leaves_by_hand():
    # counts 6 3 1: Huffman's root has {1, 2} at its left and 0 at its right; below it 2 is left and 1 right
    tree = huffman_tree([6, 3, 1])
    assert tree.codes() == ["1", "01", "00"]
    head = HierarchicalSoftmax(2, tree)
    with torch.no_grad():
        head.decisions.weight.copy_(torch.tensor([[0.5, -1.0], [2.0, 0.25]]))
        head.decisions.bias.copy_(torch.tensor([0.1, -0.3]))
    root, below = 0.5 * 3 - 1.0 * 2 + 0.1, 2.0 * 3 + 0.25 * 2 - 0.3  # at h = (3, 2)
    expected = [sigmoid(-root), sigmoid(root) * sigmoid(-below), sigmoid(root) * sigmoid(below)]
    found = head(torch.tensor([[3.0, 2.0]])).exp()[0]
    torch.testing.assert_close(found, torch.tensor(expected))


def set_to(head, logits):
    """Give a tree the decisions of a full softmax: at each node the log odds of the classes at its left and right."""
    with torch.no_grad():
        for node in range(head.classes - 1):
            on_way = (head.nodes == node) & (head.signs != 0)
            left, right = ((on_way & (head.signs == sign)).any(1) for sign in (1, -1))
            head.decisions.weight[node] = logits[:, left].logsumexp(1) - logits[:, right].logsumexp(1)
        head.decisions.bias.zero_()


@pytest.mark.parametrize("tree", [huffman_tree([9, 4, 2, 1, 1]), balanced_tree(5), balanced_tree(2)])
def test_a_tree_can_be_any_full_softmax(tree):
    """With one-hot features, a table of logits; the likelihoods are those of torch's cross-entropy."""
    classes = len(tree.nodes)
    logits = 2 * torch.randn(3, classes, dtype=torch.float64)
    head = HierarchicalSoftmax(3, tree).double()
    set_to(head, logits)
    contexts = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(head(contexts), logits.log_softmax(1))
    targets = torch.tensor([0, classes - 1, 1])
    torch.testing.assert_close(-head.log_prob(contexts, targets), F.cross_entropy(logits, targets, reduction="none"))


def test_two_levels_can_be_any_full_softmax():
    groups, logits = [1, 0, 1, 2, 0], 2 * torch.randn(3, 5, dtype=torch.float64)
    head = TwoLevelSoftmax(3, groups).double()
    with torch.no_grad():
        head.within.weight.copy_(logits.T)
        head.between.weight.copy_(torch.stack([logits[:, [g == k for g in groups]].logsumexp(1) for k in range(3)]))
        head.within.bias.zero_()
        head.between.bias.zero_()
    torch.testing.assert_close(head(torch.eye(3, dtype=torch.float64)), logits.log_softmax(1))


@every
def test_gradients_of_one_class_are_those_of_all_and_of_finite_differences(name):
    head, features = HEADS[name]().double(), torch.randn(B, D, dtype=torch.float64, requires_grad=True)
    targets = torch.arange(B) % head.classes
    inputs = [features, *head.parameters()]
    one = torch.autograd.grad(head.log_prob(features, targets).sum(), inputs)
    full = torch.autograd.grad(head(features).gather(1, targets.unsqueeze(1)).sum(), inputs)
    for mine, theirs in zip(one, full, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert torch.autograd.gradcheck(lambda h: head.log_prob(h, targets), (features,))


@every
def test_it_is_a_head_like_the_others(name):
    head = HEADS[name]()
    assert isinstance(head, Head)
    network = HeadedNetwork(None, torch.nn.Linear(3, D), head)
    batch = {"inputs": torch.randn(B, 3), "targets": torch.arange(B) % head.classes}
    full = head_loss(head, metrics=True)(network, batch, generator(0))
    fast = StructuredSoftmaxLoss()(network, batch, generator(0))
    torch.testing.assert_close(full.total, fast.total)
    assert full.count == fast.count == B
    assert set(full.metrics) == {"correct"}
    parameters = network(batch["inputs"])
    torch.testing.assert_close(head.probabilities(parameters), head.distribution(parameters).probs)


def test_frequent_words_cost_less_with_huffmans_tree():
    counts = np.array(ZIPF)
    bits = huffman_tree(counts).lengths().numpy() @ counts / counts.sum()
    entropy = stats.entropy(counts, base=2)
    assert entropy <= bits < entropy + 1  # Shannon's bound
    assert bits < balanced_tree(len(counts)).lengths().double().mean() - 0.3


def test_scores_far_out_stay_finite():
    head = HEADS["huffman"]()
    features = torch.full((1, D), 1e4)
    logs = head(features)
    assert not logs.isnan().any() and logs.exp().sum().item() == pytest.approx(1, abs=1e-5)


# -- the alias table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0, 4.0], [0.0, 5.0, 1e-3, 0.0, 2.0], [1.0] * 9, [7.0], ZIPF])
@pytest.mark.parametrize("power", [1.0, 0.75, 0.0])
def test_draws_come_with_their_probability(weights, power):
    table = AliasTable.of(weights, power)
    expected = np.array([w**power if w > 0 else 0.0 for w in weights])
    expected /= expected.sum()
    np.testing.assert_allclose(table.log_probabilities.exp(), expected, rtol=1e-6)
    # exact, from the table itself: each slot gives its own share and its alias the rest
    share = np.bincount(np.arange(len(weights)), table.thresholds, len(weights))
    share += np.bincount(table.aliases, 1 - table.thresholds, len(weights))
    np.testing.assert_allclose(share / len(weights), expected, atol=1e-15)
    drawn = table.sample((200, 100), generator(0))
    counts = np.bincount(drawn.ravel(), minlength=len(weights))
    assert drawn.shape == (200, 100) and (counts[expected == 0] == 0).all()
    if (expected > 0).sum() > 1:
        kept = expected > 0
        assert stats.chisquare(counts[kept], 20_000 * expected[kept]).pvalue > 1e-5


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: AliasTable.of([1.0, -1.0]), InputError, "finite and 0 or more"),
        (lambda: AliasTable.of([[1.0]]), InputError, r"shape \(1, 1\)"),
        (lambda: AliasTable.of([0.0, 0.0]), InputError, "zeros only"),
        (lambda: AliasTable.of([1.0], power=-1.0), SettingError, "power of 0 or more"),
        (lambda: huffman_tree([1.0]), InputError, "2 classes or more"),
        (lambda: huffman_tree([1.0, np.nan]), InputError, "finite and 0 or more"),
        (lambda: balanced_tree(1), SettingError, "2 classes or more"),
        (lambda: HierarchicalSoftmax(0, balanced_tree(2)), SettingError, "1 or more inputs"),
        (lambda: TwoLevelSoftmax(3, 1), SettingError, "2 classes or more"),
        (lambda: TwoLevelSoftmax(3, [0, 2]), InputError, "groups without a gap"),
        (lambda: TwoLevelSoftmax(3, [0, -1]), InputError, "groups without a gap"),
        (lambda: check_targets(torch.zeros(2, D), torch.zeros(2, 1).long()), InputError, r"shape \(2,\), got \(2, 1\)"),
    ],
)
def test_bad_input_is_refused(act, error, message):
    with pytest.raises(error, match=message):
        act()


def test_the_full_softmax_answers_alike():
    """A CategoricalHead's distribution and a tree's are of one kind, so that they can be compared."""
    ours, theirs = HEADS["two classes"](), CategoricalHead(D, 2)
    with torch.no_grad():  # one decision is a softmax of two logits, s and 0
        theirs.linear.weight.copy_(torch.stack([ours.decisions.weight[0], torch.zeros(D)]))
        theirs.linear.bias.copy_(torch.stack([ours.decisions.bias[0], torch.tensor(0.0)]))
    features = torch.randn(B, D)
    torch.testing.assert_close(ours(features), theirs(features).log_softmax(1))
