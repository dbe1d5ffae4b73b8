import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks import CategoricalHead, ConvNet, HeadedNetwork, PixelScale
from gradus.training.losses import head_loss


@pytest.mark.parametrize(
    ("size", "channels", "grid"),
    [
        (28, (32, 64), (7, 7)),
        (8, (4, 4), (4, 4)),
        (7, (4,), (7, 7)),
        (1, (4, 4), (1, 1)),
        ((9, 30), (4, 4, 4), (4, 15)),
        ((17, 64), (4, 4), (4, 16)),
        (64, (4, 4, 4, 4), (4, 4)),
    ],
)
def test_grids_halve_until_four_and_any_size_works(size, channels, grid):
    network = ConvNet(2, size, channels, features=5)
    height, width = network.image_size
    assert network.grid == grid
    assert network(torch.randn(3, 2, height, width)).shape == (3, 5)


def test_on_mnist_it_is_conv32_conv64_fc128():
    count = sum(p.numel() for p in ConvNet(1, 28).parameters())
    assert count == (32 * 9 + 32) + (64 * 32 * 9 + 64) + (64 * 7 * 7 * 128 + 128)


def test_it_equals_convolve_rectify_pool_in_the_usual_order():
    network = ConvNet(1, 28, (3, 6), features=10)
    first, second = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    dense = next(m for m in network.modules() if isinstance(m, nn.Linear))
    x = torch.randn(4, 1, 28, 28)
    maps = x
    for layer in (first, second):
        maps = F.max_pool2d(F.relu(F.conv2d(maps, layer.weight.contiguous(), layer.bias, padding=1)), 2)
    weight = dense.weight.reshape(10, 7, 7, 6).permute(0, 3, 1, 2).reshape(10, -1)
    torch.testing.assert_close(network(x), F.relu(F.linear(maps.flatten(1), weight, dense.bias)), atol=1e-5, rtol=1e-4)


def test_weights_and_maps_lie_channels_last():
    network = ConvNet(3, 16)
    seen = []
    for layer in network.blocks:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(torch.randn(2, 3, 16, 16))
    assert len(seen) == 6 and all(m.is_contiguous(memory_format=torch.channels_last) for m in seen)


def test_global_pooling_takes_images_of_any_size_and_few_weights():
    network = ConvNet(3, 224, pooling="global")
    assert network(torch.randn(1, 3, 40, 56)).shape == (1, 128)
    assert sum(p.numel() for p in network.dense.parameters()) == 64 * 128 + 128
    constant = network(torch.zeros(1, 3, 8, 8)), network(torch.zeros(1, 3, 16, 16))
    torch.testing.assert_close(constant[0], constant[1])  # an average, not a sum, over the grid


def test_dropout_acts_in_training_only():
    network = ConvNet(1, 8, (4,), dropout=0.5)
    x = torch.randn(2, 1, 8, 8)
    with isolated(0):
        assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pooling": "max"}, "flatten or global"),
        ({"dropout": 1.5}, "dropout"),
        ({"channels": ()}, "one block"),
        ({"features": 0}, "sizes of 1"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        ConvNet(1, 8, **settings)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 1, 9, 8)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(InputError, match=r"\(n, 1, 8, 8\)"):
        ConvNet(1, 8)(torch.zeros(shape))


def test_it_learns_the_digits():
    images, targets = load_digits(return_X_y=True)
    X = torch.tensor(images, dtype=torch.float32).reshape(-1, 8, 8, 1)
    y = torch.tensor(targets)
    with isolated(0):
        network = HeadedNetwork(PixelScale.from_data(X[:1400]), ConvNet(1, 8, (16, 32), 64), CategoricalHead(64, 10))
        loss = head_loss(network.head)
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        for _ in range(6):
            for rows in torch.randperm(1400).split(50):
                result = loss(network, {"inputs": X[rows], "targets": y[rows]}, torch.Generator())
                optimizer.zero_grad()
                (result.total / result.count).backward()
                optimizer.step()
    network.eval()
    accuracy = (network.head.point(network(X[1400:])) == y[1400:]).float().mean().item()
    # The last 397 digits are by writers unseen: a linear model reaches 0.89.
    assert accuracy > 0.93
