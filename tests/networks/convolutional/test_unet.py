from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.convolutional import UNet


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_papers_network_has_its_number_of_parameters():
    with torch.device("meta"):
        plain = UNet(1, 1, normalization=None)
        normalized = UNet(3, 2)
    # 23 layers with weights (Ronneberger et al. 2015, §2): 18 convolutions of 3, 4 transposed, 1 of 1.
    weights = [m for m in plain.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(weights) == 23
    # the numbers of the implementations known best, without normalization and with it
    assert count(plain) == 31_030_593 and count(normalized) == 31_037_698


@pytest.mark.parametrize(("dimensions", "sizes"), [(1, [1, 7, 50]), (2, [1, 5, 16, 33]), (3, [3, 8])])
@pytest.mark.parametrize("depth", [1, 3])
def test_every_size_comes_back_as_it_went_in(dimensions, sizes, depth):
    network = UNet(2, 3, depth, 4, dimensions=dimensions).eval()
    for size in sizes:
        shape = (size, *[size + 3] * (dimensions - 1))
        assert network(torch.randn(2, 2, *shape)).shape == (2, 3, *shape)


def test_padding_repeats_the_border_and_cropping_takes_the_middle():
    network = UNet(1, 2, 2, 4).eval()
    x = torch.randn(2, 1, 9, 14)
    whole = network(F.pad(x, (1, 1, 1, 2), mode="replicate"))  # 12 x 16
    torch.testing.assert_close(network(x), whole[:, :, 1:10, 1:15])


def test_it_is_down_across_and_up():
    network = UNet(1, 2, 1, 3, normalization=None)
    x = torch.randn(2, 1, 8, 8)

    def double(layers, x):
        for layer in (m for m in layers if isinstance(m, nn.Conv2d)):
            x = F.relu(F.conv2d(x, layer.weight.contiguous(), layer.bias, padding=1))
        return x

    skip = double(network.down[0], x)
    deep = double(network.down[1], F.max_pool2d(skip, 2))
    up = F.conv_transpose2d(deep, network.up[0].weight.contiguous(), network.up[0].bias, stride=2)
    merged = double(network.merge[0], torch.cat([skip, up], 1))
    expected = F.conv2d(merged, network.output.weight.contiguous(), network.output.bias)
    torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-4)


def test_moving_the_input_by_a_multiple_of_the_stride_moves_the_answer():
    network = UNet(1, 1, 2, 4).eval()
    x = torch.zeros(1, 1, 160, 160)
    x[:, :, 76:84, 76:84] = torch.randn(8, 8)
    here, there = network(x), network(x.roll((4, -8), (2, 3)))
    middle = slice(60, 100)  # farther from every border than the network sees
    torch.testing.assert_close(here[:, :, middle, middle], there[:, :, 64:104, 52:92], atol=1e-5, rtol=1e-4)
    assert here[:, :, middle, middle].std() > 1e-3
    moved = network(x.roll((1, 0), (2, 3)))
    assert not torch.allclose(here[:, :, middle, middle], moved[:, :, 61:101, middle], atol=1e-5, rtol=1e-4)


def test_each_level_doubles_how_far_it_sees():
    reached = []
    for depth in (1, 2, 3):
        network = UNet(1, 1, depth, 2, normalization=None)
        with torch.no_grad():
            for p in network.parameters():
                p.abs_().add_(0.01)
        x = torch.ones(1, 1, 128, 128, requires_grad=True)
        network(x)[0, 0, 64, 64].backward()
        columns = x.grad[0, 0].abs().sum(0).nonzero()
        reached.append(int(columns.max() - columns.min()) + 1)
    # Two 3 x 3 convolutions a level, of pixels 2^level wide, on the way down and all but the deepest on the way up.
    for shorter, longer in pairwise(reached):
        assert longer > 1.7 * shorter


def test_weights_start_so_that_the_signal_keeps_its_order_of_magnitude():
    with isolated(0):
        network = UNet(3, 4, 4, 16, normalization=None)
        out = network(torch.randn(2, 3, 64, 64))
    assert 0.1 < out.std().item() < 10


def test_it_learns_to_find_discs_in_noise():
    with isolated(0):
        network = UNet(1, 1, 2, 8)
        rows, columns = torch.meshgrid(torch.arange(22.0), torch.arange(30.0), indexing="ij")
        centres = 4 + torch.rand(96, 2) * torch.tensor([14.0, 22.0])
        inside = (rows - centres[:, 0, None, None]) ** 2 + (columns - centres[:, 1, None, None]) ** 2 < 4.0**2
        masks = inside.float().unsqueeze(1)
        images = masks + 0.5 * torch.randn(96, 1, 22, 30)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        for _ in range(20):
            for batch in torch.randperm(64).split(16):
                optimizer.zero_grad()
                F.binary_cross_entropy_with_logits(network(images[batch]), masks[batch]).backward()
                optimizer.step()
    network.eval()
    with torch.no_grad():
        found = network(images[64:]) > 0
    truth = masks[64:] > 0.5
    overlap = (found & truth).sum() / (found | truth).sum()
    by_pixel = images[64:] > 0.5
    assert overlap > 0.8 > 0.6 > (by_pixel & truth).sum() / (by_pixel | truth).sum()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth": 0}, "depth"),
        ({"width": 0}, "width"),
        ({"dropout": -0.1}, "dropout"),
        ({"normalization": "gruop"}, "did you mean 'group'"),
        ({"dimensions": 0}, "dimensions of 1, 2 or 3"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        UNet(1, 1, **{"width": 4, **settings})


def test_other_channels_are_refused():
    with pytest.raises(InputError, match=r"\(n, 3, height, width\)"):
        UNet(3, 1, 1, 4)(torch.zeros(1, 1, 8, 8))
