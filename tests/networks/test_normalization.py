import pytest
import torch

from gradus.core.errors import SettingError
from gradus.networks.normalization import RootMeanSquareNorm, normalization_layer


def test_root_mean_squares_become_one_and_means_stay():
    x = 5 + 3 * torch.randn(50, 64)
    out = normalization_layer("rms", 64)(x)
    torch.testing.assert_close(out.square().mean(1), torch.ones(50), atol=1e-4, rtol=0)
    assert bool((out.mean(1) > 0.5).all())


def test_the_root_mean_square_layer_is_torchs_in_every_precision():
    ours, theirs = RootMeanSquareNorm(24, eps=1e-3), torch.nn.RMSNorm(24, eps=1e-3)
    with torch.no_grad():
        theirs.weight.copy_(torch.nn.init.normal_(ours.weight))
    x = torch.randn(3, 5, 24, requires_grad=True)
    torch.testing.assert_close(ours(x), theirs(x))
    (gradient,) = torch.autograd.grad(ours(x).sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad(theirs(x).sum(), x)[0])
    half = ours(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), theirs(x), atol=0.02, rtol=0.02)


@pytest.mark.parametrize(("width", "groups"), [(64, 4), (32, 2), (48, 3), (16, 1), (15, 1), (17, 1), (34, 2), (100, 5)])
def test_groups_are_of_sixteen_or_more_and_each_is_standardized(width, groups):
    layer = normalization_layer("group", width)
    assert layer.num_groups == groups
    out = layer(5 + 3 * torch.randn(50, width)).view(50, groups, -1)
    torch.testing.assert_close(out.mean(2), torch.zeros(50, groups), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.var(2, correction=0), torch.ones(50, groups), atol=1e-3, rtol=0)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", ["batch", "group", "layer"])
def test_maps_are_normalized_over_what_the_name_says(name, dimensions):
    x = 5 + 3 * torch.randn(6, 32, *[4] * dimensions)
    out = normalization_layer(name, 32, dimensions)(x)
    parts = {"batch": out.transpose(0, 1).flatten(1), "group": out.view(12, -1), "layer": out.flatten(1)}[name]
    torch.testing.assert_close(parts.mean(1), torch.zeros(len(parts)), atol=1e-4, rtol=0)
    torch.testing.assert_close(parts.var(1, correction=0), torch.ones(len(parts)), atol=1e-3, rtol=0)


def test_what_would_leave_nothing_or_is_not_there_is_refused():
    with pytest.raises(SettingError, match="2 units or more"):
        normalization_layer("layer", 1)
    with pytest.raises(SettingError, match="batch, group, layer"):
        normalization_layer("rms", 8, dimensions=2)
    with pytest.raises(SettingError, match="did you mean 'group'"):
        normalization_layer("grup", 8)
