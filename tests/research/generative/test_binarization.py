"""Grey pixels drawn as bits: as often as they are bright, each by itself, and by the generator's state alone."""

import pytest
import torch
from scipy.stats import binomtest

from gradus.core.errors import InputError
from gradus.research.generative.binarization import check_shares, drawn_bits

SMALLEST = 1e-5  # probability with which a right sampler fails, over all columns together
SHARES = (2**-11, 0.02, 0.1, 0.5, 0.9, 1 - 2**-11)
ROWS = 1 << 19


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("full", [1.0, 255.0])
def test_bits_are_drawn_as_often_as_pixels_are_bright(dtype, full):
    shares = torch.tensor(SHARES, dtype=dtype)
    drawn = drawn_bits((shares * full).expand(ROWS, -1).contiguous(), full, source())
    assert drawn.dtype == dtype and set(drawn.unique().tolist()) == {0.0, full}
    ones = (drawn == full).sum(0).tolist()

    def fits(chances):
        return min(binomtest(k, ROWS, p).pvalue for k, p in zip(ones, chances, strict=True)) > SMALLEST / len(SHARES)

    assert fits(SHARES)
    assert not fits([min(p * 1.05, 1.0) for p in SHARES])  # planted: a scale wrong by a twentieth


def test_pixels_that_are_black_or_full_stay_so():
    ends = torch.tensor([0.0, 255.0]).expand(1 << 22, 2)
    assert torch.equal(drawn_bits(ends, 255.0, source()), ends)


def test_the_generators_state_tells_what_is_drawn():
    grey = torch.full((500, 784), 0.5)
    drawing = source()
    first = drawn_bits(grey, 1.0, drawing)
    state = drawing.get_state()
    second = drawn_bits(grey, 1.0, drawing)
    assert abs(float((first == second).float().mean()) - 0.5) < 0.02
    other = source(1)
    other.set_state(state)
    assert torch.equal(drawn_bits(grey, 1.0, other), second)
    assert torch.equal(grey, torch.full((500, 784), 0.5))  # the rows stay as they are


@pytest.mark.parametrize("strange", [-0.1, 255.5, float("nan"), float("inf")])
def test_what_is_no_brightness_is_refused(strange):
    rows = torch.tensor([[0.0, 255.0], [strange, 3.0]])
    with pytest.raises(InputError, match="pixels between 0 and 255"):
        check_shares(rows, 255.0)
    check_shares(rows[:1], 255.0)
    check_shares(rows[:0], 255.0)
