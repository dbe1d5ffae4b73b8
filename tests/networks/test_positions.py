import math

import pytest
import torch

from gradus.core.errors import SettingError
from gradus.networks.positions import (
    LearnedPositions,
    RotaryPositions,
    SinusoidalPositions,
    rotate,
    sinusoids,
)


def test_sinusoids_are_the_formula_far_out_too():
    table = sinusoids(20_001, 64)
    for t in (0, 1, 7, 500, 20_000):
        for i in range(32):
            angle = t / 10_000 ** (2 * i / 64)
            assert table[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_products_of_sinusoids_depend_on_distance_only():
    table = sinusoids(50, 32).double()
    products = table @ table.T
    torch.testing.assert_close(products[:40, :40], products[10:, 10:], atol=1e-5, rtol=0)
    torch.testing.assert_close(products.diagonal(), torch.full((50,), 16.0, dtype=torch.float64), atol=1e-5, rtol=0)


def test_rotation_is_multiplication_of_complex_numbers():
    vectors = torch.randn(2, 9, 3, 8)
    turned = rotate(vectors, RotaryPositions(9, 8, base=100.0)(slice(0, 9)))
    angles = torch.tensor([[t * 100.0 ** (-i / 4) for i in range(4)] for t in range(9)])
    unit = torch.polar(torch.ones_like(angles), angles)[:, None]
    expected = torch.complex(vectors[..., :4], vectors[..., 4:]) * unit
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], -1), atol=1e-5, rtol=1e-5)


def test_rotation_keeps_lengths_and_leaves_position_zero():
    rotary = RotaryPositions(2000, 16)
    vectors = torch.randn(2, 2000, 3, 16)
    turned = rotate(vectors, rotary(slice(0, 2000)))
    torch.testing.assert_close(turned.norm(dim=-1), vectors.norm(dim=-1), atol=1e-5, rtol=1e-5)
    assert torch.equal(turned[:, 0], vectors[:, 0])
    assert (turned[:, 1:] - vectors[:, 1:]).abs().amax(-1).min() > 1e-3


def test_scores_depend_on_relative_distance_only():
    rotary = RotaryPositions(1000, 16)
    query, key = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def score(s, t):
        turned = rotate(query, rotary(slice(s, s + 1))), rotate(key, rotary(slice(t, t + 1)))
        return (turned[0] * turned[1]).sum().item()

    for distance in (0, 1, 5, 300):
        scores = [score(s + distance, s) for s in (0, 1, 17, 600)]
        assert max(scores) - min(scores) < 2e-4  # float32 angles of up to 900 radians
    assert abs(score(0, 0) - score(5, 0)) > 1e-2
    assert abs(score(5, 0) - score(0, 5)) > 1e-2  # direction matters, too


@pytest.mark.parametrize("make", [SinusoidalPositions, LearnedPositions])
def test_added_positions_from_an_offset_and_for_each_row(make):
    code = make(10, 6)
    whole = code(slice(0, 10))
    assert torch.equal(code(slice(4, 7)), whole[4:7])
    rows = code(torch.tensor([[4, 5], [0, 9]]))
    assert torch.equal(rows[1], whole[[0, 9]]) and torch.equal(rows[0], whole[4:6])


def test_rotation_from_an_offset_and_for_each_row():
    rotary = RotaryPositions(10, 6)
    vectors = torch.randn(2, 10, 3, 6)
    whole = rotate(vectors, rotary(slice(0, 10)))
    torch.testing.assert_close(rotate(vectors[:, 4:7], rotary(slice(4, 7))), whole[:, 4:7])
    starts = torch.tensor([[4, 5], [0, 1]])
    rows = torch.stack([vectors[0, 4:6], vectors[1, 0:2]])
    torch.testing.assert_close(rotate(rows, rotary(starts)), torch.stack([whole[0, 4:6], whole[1, 0:2]]))


def test_only_what_is_learned_is_stored():
    assert not SinusoidalPositions(10, 6).state_dict() and not RotaryPositions(10, 6).state_dict()
    assert list(LearnedPositions(10, 6).state_dict()) == ["table"]
    spread = LearnedPositions(400, 100).table.std().item()
    assert abs(spread / 0.02 - 1) < 5 / math.sqrt(2 * 40_000)


@pytest.mark.parametrize("make", [SinusoidalPositions, RotaryPositions])
def test_wrong_sizes_are_refused(make):
    with pytest.raises(SettingError, match="even"):
        make(10, 7)
    with pytest.raises(SettingError, match="1 position"):
        make(0, 8)
    with pytest.raises(SettingError, match="base above 1"):
        make(10, 8, base=1.0)
    with pytest.raises(SettingError, match="sizes of 1"):
        LearnedPositions(0, 8)
