import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.convolutional import DepthwiseSeparable, DilatedStack, TransposedConvolution, convolution

# torch's remark that an even kernel costs a copy
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_a_separable_convolution_is_a_convolution_with_the_product_of_its_kernels(dimensions, stride, dilation):
    layer = DepthwiseSeparable(4, 6, 3, dimensions=dimensions, stride=stride, dilation=dilation)
    nn.init.normal_(layer.pointwise.bias)
    kernel = layer.pointwise.weight * layer.depthwise.weight.transpose(0, 1)
    x = torch.randn(2, 4, *[7] * dimensions)
    expected = CONVOLVE[dimensions](x, kernel, layer.pointwise.bias, stride, dilation, dilation)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)
    assert sum(p.numel() for p in layer.parameters()) == 4 * 3**dimensions + 4 * 6 + 6


def test_a_separable_convolution_keeps_the_power_of_its_inputs():
    layer = DepthwiseSeparable(64, 64, 3, padding="valid")
    out = layer(torch.randn(8, 64, 20, 20))
    assert out.square().mean().item() == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (3, 3), (4, 2), (3, 5)])
def test_a_dilated_stack_sees_its_receptive_field_and_nothing_beyond(dimensions, depth, kernel):
    stack = DilatedStack(2, 3, depth, kernel, dimensions=dimensions)
    assert stack.receptive_field == 1 + (kernel - 1) * (2**depth - 1)
    with torch.no_grad():  # every rectifier open, so that every path counts
        for p in stack.parameters():
            p.abs_().add_(0.01)
    size = 2 * stack.receptive_field + 1
    x = torch.ones(1, 2, *[size] * dimensions, requires_grad=True)
    out = stack(x)
    assert out.shape == (1, 3, *[size] * dimensions)
    out[(0, 0, *[size // 2] * dimensions)].backward()
    touched = x.grad[0, 0].nonzero()
    extent = touched.amax(0) - touched.amin(0) + 1
    assert extent.tolist() == [stack.receptive_field] * dimensions


def test_a_dilated_stack_is_its_convolutions_and_rectifiers():
    stack = DilatedStack(2, 5, 3)
    x = torch.randn(2, 2, 12, 13)
    h = x
    for index, layer in enumerate(m for m in stack.layers if isinstance(m, nn.Conv2d)):
        h = F.relu(F.conv2d(h, layer.weight.contiguous(), layer.bias, padding=2**index, dilation=2**index))
    torch.testing.assert_close(stack(x), h, atol=1e-5, rtol=1e-4)


SETTINGS = [
    {"kernel_size": 3},
    {"kernel_size": 5, "stride": 2},
    {"kernel_size": 3, "stride": 3, "padding": 1},
    {"kernel_size": 4, "stride": 2, "padding": 3},
    {"kernel_size": 3, "dilation": 2, "padding": 2},
    {"kernel_size": 2, "stride": 3},  # inputs between the kernels, which no output sees
    {"kernel_size": 3, "groups": 2, "padding": "same"},
    {"kernel_size": 4, "padding": "same"},
    {"kernel_size": 4, "padding": "valid", "dilation": 2},
]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_transpose_is_the_adjoint(settings, dimensions):
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    forward = kind(4, 6, bias=False, **settings).double()
    backward = TransposedConvolution(forward, bias=False)
    for size in (10, 11, 12):
        x = torch.randn(2, 4, *[size] * dimensions, dtype=torch.float64, requires_grad=True)
        image = forward(x)
        y = torch.randn_like(image)
        returned = backward(y, size=(size,) * dimensions)
        assert returned.shape == x.shape
        torch.testing.assert_close((image * y).sum(), (x * returned).sum())
        # which is what makes it the gradient
        (gradient,) = torch.autograd.grad(image, x, y)
        torch.testing.assert_close(returned, gradient)


def test_without_a_size_it_is_torchs_transposed_convolution_of_the_same_weights():
    forward = nn.Conv2d(3, 8, 5, stride=2, padding=1)
    oracle = nn.ConvTranspose2d(8, 3, 5, stride=2, padding=1)
    oracle.weight = forward.weight
    y = torch.randn(2, 8, 6, 7)
    layer = TransposedConvolution(forward)
    nn.init.zeros_(oracle.bias)
    torch.testing.assert_close(layer(y), oracle(y))
    with torch.no_grad():
        layer.bias.copy_(oracle.bias.copy_(torch.tensor([1.0, 2.0, 3.0])))
    torch.testing.assert_close(layer(y), oracle(y))


def test_weights_are_shared_with_the_convolution_also_in_a_copy():
    encoder = convolution(1, 4, 3)
    both = nn.ModuleList([encoder, TransposedConvolution(encoder)])
    assert sum(p.numel() for p in both.parameters()) == 4 * 9 + 4 + 1
    twin = copy.deepcopy(both)
    assert twin[1].convolution is twin[0] and twin[0].weight is not encoder.weight
    y = torch.randn(1, 4, 6, 6)
    with torch.no_grad():
        before = both[1](y)
        encoder.weight *= 2
        torch.testing.assert_close(both[1](y), 2 * before)


def test_what_no_convolution_can_have_made_is_refused():
    layer = TransposedConvolution(nn.Conv2d(1, 4, 3, stride=2))
    with pytest.raises(InputError, match="11 to 12 x 11 to 12"):
        layer(torch.zeros(1, 4, 5, 5), size=(13, 11))
    with pytest.raises(InputError, match="11 to 12"):
        layer(torch.zeros(1, 4, 5, 5), size=(11,))
    with pytest.raises(InputError, match=r"\(n, 4, height, width\)"):
        layer(torch.zeros(1, 3, 5, 5))
    with pytest.raises(InputError, match="pads with zeros"):
        TransposedConvolution(nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"))
    with pytest.raises(SettingError, match="depth"):
        DilatedStack(1, 4, 0)
    with pytest.raises(InputError, match=r"\(n, 1, length\)"):
        DilatedStack(1, 4, dimensions=1)(torch.zeros(1, 1, 4, 4))
