"""LeNet-5; ConvNet's tests lie one folder up."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.data.batches import TensorBatches
from gradus.networks import CategoricalHead, HeadedNetwork, PixelScale
from gradus.networks.convolutional import LeNet5
from gradus.training.loop import Trainer
from gradus.training.losses import head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

# LeCun et al. 1998, table I, as printed: a row for each map of S2, a column for each map of C3.
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_layout_of_1998_has_the_parameters_of_the_paper():
    network = LeNet5(style="1998")
    c1, _, s2, _, c3, _, s4, _ = network.maps
    assert [count(layer) for layer in (c1, s2, c3, s4)] == [156, 12, 1516, 32]
    assert [count(layer) for layer in network.dense] == [48_120, 0, 10_164, 0]
    assert count(network) == 60_000


def test_the_modern_layout_with_ten_outputs_has_61_706():
    network = HeadedNetwork(None, LeNet5(), CategoricalHead(84, 10))
    assert count(network) == 61_706


def test_c3_reads_the_pairs_of_table_i():
    table = np.array([list(row) for row in TABLE_I.split()]) == "X"
    c3 = LeNet5(style="1998").maps[4]
    x = torch.randn(1, 6, 14, 14, requires_grad=True)
    out = c3(x)
    assert out.shape == (1, 16, 10, 10)
    for column in range(16):
        (gradient,) = torch.autograd.grad(out[0, column].sum(), x, retain_graph=True)
        assert np.array_equal((gradient[0].abs().sum((1, 2)) > 0).numpy(), table[:, column])
    dense = torch.zeros(16, 6, 5, 5)
    dense[torch.from_numpy(table.T)] = c3.weight.detach()  # kernels in the order of maps of C3, then of S2
    wrapped = {tuple(r) for r in c3.pairs.t().tolist()}
    assert wrapped == {(int(o), int(i)) for o, i in zip(*np.nonzero(table.T), strict=True)}
    for index, (o, i) in enumerate(c3.pairs.t().tolist()):
        dense[o, i] = c3.weight.detach()[index]
    torch.testing.assert_close(out, F.conv2d(x, dense, c3.bias))


def test_subsampling_and_squashing_are_the_papers():
    network = LeNet5(style="1998")
    s2, squash = network.maps[2], network.maps[1]
    with torch.no_grad():
        s2.weight.copy_(torch.arange(1.0, 7.0))
        s2.bias.copy_(-torch.arange(6.0))
    x = torch.randn(2, 6, 4, 4)
    sums = x.reshape(2, 6, 2, 2, 2, 2).sum((3, 5))
    expected = sums * torch.arange(1.0, 7.0).view(6, 1, 1) - torch.arange(6.0).view(6, 1, 1)
    torch.testing.assert_close(s2(x), expected)
    # f(1) = 1, f(-1) = -1, and the slope bends the most there (appendix A)
    torch.testing.assert_close(squash(torch.tensor([1.0, -1.0])), torch.tensor([1.0, -1.0]), atol=1e-4, rtol=0)


def test_the_modern_layout_is_convolve_rectify_pool():
    network = LeNet5(3)
    first, second = (m for m in network.maps if isinstance(m, nn.Conv2d))
    c5, f6 = (m for m in network.dense if isinstance(m, nn.Linear))
    x = torch.randn(4, 3, 28, 28)
    h = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge"))
    torch.testing.assert_close(network(x), network(h))
    for layer in (first, second):
        h = F.max_pool2d(F.relu(F.conv2d(h, layer.weight.contiguous(), layer.bias)), 2)
    assert h.shape == (4, 16, 5, 5)
    weight = c5.weight.reshape(120, 5, 5, 16).permute(0, 3, 1, 2).reshape(120, -1)
    h = F.relu(F.linear(h.flatten(1), weight, c5.bias))
    torch.testing.assert_close(network(x), F.relu(F.linear(h, f6.weight, f6.bias)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("style", ["modern", "1998"])
def test_every_weight_learns_and_dropout_acts_in_training_only(style):
    with isolated(0):
        network = LeNet5(style=style, dropout=0.5)
        x = torch.randn(16, 1, 32, 32)
        network(x).square().sum().backward()
        assert not torch.equal(network(x), network(x))
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    network.eval()
    assert torch.equal(network(x), network(x))


def test_images_of_other_sizes_and_settings_unknown_are_refused():
    with pytest.raises(InputError, match="28 x 28 or 32 x 32"):
        LeNet5()(torch.zeros(1, 1, 30, 30))
    with pytest.raises(InputError, match=r"\(n, 1, height, width\)"):
        LeNet5()(torch.zeros(1, 3, 28, 28))
    with pytest.raises(SettingError, match="modern, 1998"):
        LeNet5(style="1989")
    with pytest.raises(SettingError, match="dropout"):
        LeNet5(dropout=1.0)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("style", "low", "high"), [("modern", 0.965, 0.985), ("1998", 0.935, 0.975)])
def test_three_epochs_on_ten_thousand_digits(data_home, style, low, high):
    with np.load(data_home / "vision" / "mnist.npz", allow_pickle=False) as file:
        images = torch.from_numpy(file["x_train"][:10_000]).unsqueeze(-1)
        targets = torch.from_numpy(file["y_train"][:10_000]).long()
        test = torch.from_numpy(file["x_test"]).unsqueeze(-1), torch.from_numpy(file["y_test"]).long()
    with isolated(0):
        network = HeadedNetwork(PixelScale.from_data(images), LeNet5(style=style), CategoricalHead(84, 10))
    options = TrainingOptions(batch_size=50, max_epochs=3, learning_rate=2e-3, schedule="cosine")
    player = Player("network", network, head_loss(network.head), options)
    batches = TensorBatches({"inputs": images, "targets": targets}, batch_size=50, seed=1)
    assert Trainer(network, [player], batches, options).run() == "max_epochs"
    network.eval()
    with torch.no_grad():
        accuracy = (network.head.point(network(test[0])) == test[1]).float().mean().item()
    # Three seeds gave 0.971 to 0.974 and 0.946 to 0.957; more would mean that test images had been seen.
    assert low < accuracy < high
