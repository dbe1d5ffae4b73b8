import numpy as np
import pytest
import torch
from torch import nn

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.recurrent import COMPOSITIONS, Forest, TreeNetwork

TREES = [((0, 1), (2, 3)), (0, (1, (2, 3))), 2, ((((0, 1), 2), 3), (1, 0))]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def evaluate(network, x, tree, seen):
    """A node's hidden units and cells by recursion, in NumPy; every node's units are appended to ``seen``."""
    V, b0 = network.leaf.weight.detach().numpy(), network.leaf.bias.detach().numpy()
    W, b = network.node.weight.detach().numpy(), network.node.bias.detach().numpy()
    n = network.out_features
    if isinstance(tree, int):
        cell = V @ x[tree] + b0
        hidden = np.tanh(cell)
    else:
        (left, left_cell), (right, right_cell) = (evaluate(network, x, child, seen) for child in tree)
        z = np.concatenate([left, right])
        raw = W @ z + b
        if network.composition == "tensor":
            T = network.interactions.detach().numpy()
            raw = raw + np.array([z @ T[k] @ z for k in range(n)])
        if network.composition == "lstm":
            f_l, f_r, i, o = (sigmoid(raw[k * n : (k + 1) * n]) for k in range(4))
            cell = f_l * left_cell + f_r * right_cell + i * np.tanh(raw[4 * n :])
            hidden = o * np.tanh(cell)
        else:
            cell, hidden = None, np.tanh(raw)
    seen.append(hidden)
    return hidden, cell


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_a_batch_is_each_tree_evaluated_by_recursion(composition):
    network = TreeNetwork(3, 5, composition=composition).double()
    nn.init.normal_(network.node.bias)
    if composition == "tensor":
        nn.init.normal_(network.interactions)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    forest = Forest.of(TREES)
    roots, nodes = network(x, forest)
    seen = []
    for i, tree in enumerate(TREES):
        hidden, _ = evaluate(network, x[i].numpy(), tree, seen)
        np.testing.assert_allclose(roots[i].detach(), hidden, atol=1e-12)
    np.testing.assert_allclose(nodes.detach(), np.stack(seen), atol=1e-12)
    assert forest.counts.tolist() == [7, 7, 1, 11]


def test_a_tree_that_leans_left_is_torchs_recurrent_network():
    network = TreeNetwork(3, 5)
    oracle = nn.RNN(5, 5, batch_first=True)
    with torch.no_grad():
        oracle.weight_hh_l0.copy_(network.node.weight[:, :5])
        oracle.weight_ih_l0.copy_(network.node.weight[:, 5:])
        oracle.bias_ih_l0.copy_(network.node.bias)
        oracle.bias_hh_l0.zero_()
    x = torch.randn(2, 5, 3)
    roots, _ = network(x, Forest.of([((((0, 1), 2), 3), 4)] * 2))
    leaves = torch.tanh(network.leaf(x))
    _, last = oracle(leaves[:, 1:], leaves[:, 0][None])
    torch.testing.assert_close(roots, last[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_gradients_are_true(composition):
    network = TreeNetwork(2, 2, composition=composition).double()
    forest = Forest.of([((0, 1), 2), (1, 1)])
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in network.named_parameters()]

    def run(x, *parameters):
        return tuple(torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (x, forest)))

    assert torch.autograd.gradcheck(run, (x, *network.parameters()))


def test_positions_that_no_leaf_names_are_not_read():
    network = TreeNetwork(3, 5)
    x = torch.randn(1, 4, 3)
    x[0, 3] = torch.nan
    x.requires_grad_()
    roots, nodes = network(x, Forest.of([((0, 2), 1)]))
    roots.sum().backward()
    assert nodes.isfinite().all() and x.grad.isfinite().all() and x.grad[0, 3].abs().max() == 0


def test_trees_deeper_than_pythons_recursion():
    tree = 0
    for _ in range(3000):
        tree = (tree, 1)
    network = TreeNetwork(2, 2)
    with torch.no_grad():
        roots, nodes = network(torch.randn(1, 2, 2), Forest.of([tree]))
    assert len(nodes) == 6001 and torch.equal(nodes[-1], roots[0])


def test_balanced_trees_take_a_product_a_level():
    def balanced(low, high):
        return low if high - low == 1 else (balanced(low, (low + high) // 2), balanced((low + high) // 2, high))

    forest = Forest.of([balanced(0, 64)] * 3)
    assert [len(level.left) for level in forest.levels] == [96, 48, 24, 12, 6, 3]
    calls = []
    network = TreeNetwork(2, 4)
    network.node.register_forward_hook(lambda *hooked: calls.append(len(hooked[2])))
    network(torch.randn(3, 64, 2), forest)
    assert calls == [96, 48, 24, 12, 6, 3]


def test_a_plan_moves_between_devices():
    forest = Forest.of(TREES).to("meta")
    tensors = [forest.examples, forest.positions, forest.roots, forest.postorder, forest.counts, *forest.levels[0]]
    assert {t.device.type for t in tensors} == {"meta"}


@pytest.mark.parametrize("composition", ["affine", "lstm"])
def test_it_learns_to_evaluate_formulas(composition):
    """Exclusive or of the leaves of random trees of 2 to 4: no linear function of a bag of leaves."""
    with isolated(0):
        network = TreeNetwork(2, 24, composition=composition)
        head = nn.Linear(24, 2)
        optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=1e-2)
        shapes = [(0, 1), ((0, 1), 2), (0, (1, 2)), ((0, 1), (2, 3)), (((0, 1), 2), 3), (0, ((1, 2), 3))]
        sizes = torch.tensor([2, 3, 3, 4, 4, 4])
        for _ in range(200):
            chosen = torch.randint(len(shapes), (64,))
            bits = torch.randint(2, (64, 4))
            target = (bits * (torch.arange(4) < sizes[chosen][:, None])).sum(1) % 2
            roots, _ = network(nn.functional.one_hot(bits, 2).float(), Forest.of([shapes[i] for i in chosen]))
            logits = head(roots)
            loss = nn.functional.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert (logits.argmax(1) == target).float().mean() > 0.95


@pytest.mark.parametrize("tree", [(0, 1, 2), (0, -1), (0, "a"), True, (0, None), ()])
def test_what_is_no_tree_is_refused(tree):
    with pytest.raises(InputError, match="in tree 1; write a tree"):
        Forest.of([0, tree])


def test_wrong_settings_and_inputs_are_refused():
    for settings, words in (({"composition": "gru"}, "composition"), ({"width": 0}, "width")):
        with pytest.raises(SettingError, match=words):
            TreeNetwork(3, **settings)
    network = TreeNetwork(3, 4)
    with pytest.raises(InputError, match="one tree or more"):
        Forest.of([])
    with pytest.raises(InputError, match="2 trees"):
        network(torch.zeros(2, 4, 3), Forest.of([0]))
    with pytest.raises(InputError, match="leaves from 0 to 3"):
        network(torch.zeros(1, 4, 3), Forest.of([(0, 4)]))
    with pytest.raises(InputError, match=r"\(batch, positions, 3\)"):
        network(torch.zeros(1, 4, 2), Forest.of([0]))
