import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.convolutional import LocallyConnected2d, TiledConv2d, padding_of

SETTINGS = [
    {"kernel": 3},
    {"kernel": 3, "stride": 2},
    {"kernel": 2, "padding": "same"},
    {"kernel": 4, "padding": "same", "stride": 3},
    {"kernel": 3, "padding": "full"},
    {"kernel": 1, "stride": 2, "padding": 1},
]


def windows(images, kernel, stride, zeros):
    """Every position of the output with what its kernel sees."""
    padded = F.pad(images, zeros * 2)
    rows, columns = ((size - kernel) // stride + 1 for size in padded.shape[2:])
    for j in range(rows):
        for k in range(columns):
            yield j, k, padded[:, :, j * stride : j * stride + kernel, k * stride : k * stride + kernel]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_locally_connected_layer_is_the_sum_of_the_book(settings):
    layer = LocallyConnected2d(2, 3, (6, 7), **settings)
    nn.init.normal_(layer.bias)
    x = torch.randn(4, 2, 6, 7)
    out = layer(x)
    kernel, count = layer.kernel, 0
    weight = layer.weight.view(*layer.grid, 2, kernel, kernel, 3)
    for j, k, seen in windows(x, kernel, layer.stride, layer.zeros):
        expected = torch.einsum("nlab,labi->ni", seen, weight[j, k]) + layer.bias[:, j, k]
        torch.testing.assert_close(out[:, :, j, k], expected)
        count += 1
    assert out.shape == (4, 3, *layer.grid) and count == layer.grid[0] * layer.grid[1]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_tied_it_is_a_convolution(settings):
    layer = LocallyConnected2d(2, 3, (6, 7), bias=False, **settings)
    kernel = torch.randn(3, 2, layer.kernel, layer.kernel)
    x = torch.randn(4, 2, 6, 7)
    expected = F.conv2d(F.pad(x, layer.zeros * 2), kernel, stride=layer.stride)
    torch.testing.assert_close(layer.tie_(kernel)(x), expected)


@pytest.mark.parametrize("tiles", [1, 2, 3, 5])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_tiled_convolution_is_the_sum_of_the_book(settings, tiles):
    layer = TiledConv2d(2, 3, tiles=tiles, **settings)
    nn.init.normal_(layer.bias)
    x = torch.randn(4, 2, 6, 7)
    out = layer(x)
    positions = []
    for j, k, seen in windows(x, layer.kernel, layer.stride, layer.zeros):
        weight, bias = layer.weight[j % tiles, k % tiles], layer.bias[j % tiles, k % tiles]
        torch.testing.assert_close(out[:, :, j, k], torch.einsum("nlab,ilab->ni", seen, weight) + bias)
        positions.append((j, k))
    assert out.shape[2:] == (positions[-1][0] + 1, positions[-1][1] + 1)


def test_one_tile_is_a_convolution_and_as_many_as_positions_a_locally_connected_layer():
    x = torch.randn(4, 2, 6, 7)
    one = TiledConv2d(2, 3, 3, tiles=1)
    torch.testing.assert_close(one(x), F.conv2d(x, one.weight[0, 0], one.bias[0, 0]))
    many, local = TiledConv2d(2, 3, 3, tiles=5, bias=False), LocallyConnected2d(2, 3, (6, 7), 3, bias=False)
    with torch.no_grad():
        local.weight.copy_(many.weight[:4, :5].reshape(20, 3, 18).transpose(1, 2))
    torch.testing.assert_close(many(x), local(x))


def test_gradients_are_those_of_finite_differences():
    local = LocallyConnected2d(1, 2, 4, 3).double()
    tiled = TiledConv2d(1, 2, 2, 2, padding="same").double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    for layer in (local, tiled):
        names = [name for name, _ in layer.named_parameters()]
        values = [p.detach().requires_grad_() for p in layer.parameters()]

        def call(x, *values, layer=layer, names=names):
            return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

        assert torch.autograd.gradcheck(call, (x, *values))


def test_a_locally_connected_layer_learns_what_a_convolution_cannot_say():
    # the pixel on the left as it is, that on the right with its sign turned
    x = torch.randn(200, 1, 1, 2)
    y = x * torch.tensor([1.0, -1.0])
    layer = LocallyConnected2d(1, 1, (1, 2), 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x), y)
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-6
    torch.testing.assert_close(layer.weight.flatten(), torch.tensor([1.0, -1.0]), atol=1e-2, rtol=0)


def test_wrong_shapes_and_settings_are_refused():
    layer = LocallyConnected2d(1, 4, 8, 3)
    with pytest.raises(InputError, match="8 x 8 pixels"):
        layer(torch.zeros(1, 1, 9, 8))
    with pytest.raises(InputError, match=r"\(n, 1, height, width\)"):
        layer(torch.zeros(1, 2, 8, 8))
    with pytest.raises(InputError, match=r"\(4, 1, 3, 3\)"):
        layer.tie_(torch.zeros(4, 1, 5, 5))
    with pytest.raises(SettingError, match="no wider"):
        LocallyConnected2d(1, 4, 4, 5)
    with pytest.raises(SettingError, match="tiles"):
        TiledConv2d(1, 4, 3, 0)
    with pytest.raises(InputError, match="3 or more along every axis"):
        TiledConv2d(1, 4, 3, 2)(torch.zeros(1, 1, 2, 8))
    assert TiledConv2d(1, 4, 3, 2, padding="same")(torch.zeros(1, 1, 1, 1)).shape == (1, 4, 1, 1)
    assert padding_of("same", 4) == TiledConv2d(1, 1, 4, padding="same").zeros
