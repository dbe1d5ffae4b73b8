import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from torch import nn

from gradus.core.errors import SettingError
from gradus.networks.convolutional import PADDINGS, convolution, output_size, padding_of, receptive_field
from gradus.networks.convolutional.grids import layers_of

# torch's remark that an even kernel costs a copy
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
def test_valid_same_and_full_leave_the_sizes_of_the_book(kernel):
    m = 11
    assert output_size(m, kernel, padding="valid") == m - kernel + 1
    assert output_size(m, kernel, padding="same") == m
    assert output_size(m, kernel, padding="full") == m + kernel - 1


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_the_values_are_those_of_a_correlation_with_this_padding(kernel, padding):
    layer = convolution(1, 1, kernel, padding=padding, bias=False)
    x = torch.randn(9, 10)
    # Of an even kernel scipy's "same" has the odd zero before, and torch's after.
    full = signal.correlate2d(x.numpy(), layer.weight[0, 0].detach().numpy(), mode="full")
    reach = kernel - 1
    first = {"full": 0, "same": reach - reach // 2, "valid": reach}[padding]
    height, width = (output_size(m, kernel, padding=padding) for m in x.shape)
    expected = full[first : first + height, first : first + width]
    np.testing.assert_allclose(layer(x[None, None])[0, 0].detach().numpy(), expected, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 40), kernel=st.integers(1, 6), stride=st.integers(1, 4), dilation=st.integers(1, 3),
    padding=st.sampled_from([*PADDINGS, 0, 1, 3]), dimensions=st.integers(1, 3),
)  # fmt: skip
def test_the_size_foretold_is_the_size_that_comes(size, kernel, stride, dilation, padding, dimensions):
    x = torch.zeros(1, 1, *([size] + [kernel * dilation] * (dimensions - 1)))
    try:
        layer = convolution(1, 1, kernel, dimensions=dimensions, stride=stride, padding=padding, dilation=dilation)
    except SettingError as refused:
        assert padding == "same" and stride > 1 and dilation * (kernel - 1) % 2
        assert "odd kernel" in str(refused)
        return
    try:
        foretold = output_size(size, kernel, stride=stride, padding=padding, dilation=dilation)
    except SettingError:
        with pytest.raises(RuntimeError, match=r"[Kk]ernel size"):
            layer(x)
        return
    assert layer(x).shape[2] == foretold


def test_same_with_a_stride_leaves_the_ceiling():
    for size in range(1, 12):
        assert output_size(size, 3, stride=2, padding="same") == -(-size // 2)


def seen_by_the_middle(chain, size):
    x = torch.ones(1, 1, size, requires_grad=True)
    out = chain(x)
    out[0, 0, out.shape[2] // 2].backward()
    return x.grad[0, 0].nonzero()


@pytest.mark.parametrize(
    "layers",
    [
        [(3, 1, 1)],
        [(5, 2, 1), (3, 1, 2)],
        [(3, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 1), (3, 1, 1)],
        [(7, 2, 1), (3, 2, 1), (3, 1, 4)],
    ],
)
def test_the_receptive_field_is_what_the_gradient_reaches(layers):
    chain = nn.Sequential(*(nn.Conv1d(1, 1, k, s, dilation=d, bias=False) for k, s, d in layers))
    for layer in chain:
        nn.init.ones_(layer.weight)
    touched = seen_by_the_middle(chain, 200)
    assert int(touched.max() - touched.min()) + 1 == receptive_field(layers)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: padding_of("some", 3), "did you mean 'same'"),
        (lambda: padding_of(-1, 3), "padding of 0 or more"),
        (lambda: padding_of("same", 0), "kernel"),
        (lambda: output_size(3, 5), "no wider than the padded input"),
        (lambda: convolution(3, 4, 3, groups=2), "groups that divide"),
        (lambda: convolution(2, 2, 4, stride=2), "odd kernel"),
        (lambda: convolution(0, 2, 3), "in_channels"),
        (lambda: layers_of(4), "dimensions of 1, 2 or 3"),
    ],
)
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(SettingError, match=words):
        wrong()
