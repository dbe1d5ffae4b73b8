"""What every network here must allow: export, half precision, copies, any batch."""

import copy

import pytest
import torch

from gradus.core.randomness import generator, isolated
from gradus.networks.convolutional import (
    DilatedStack,
    LeNet5,
    LocallyConnected2d,
    RandomFilters,
    ResNet,
    TiledConv2d,
    UNet,
    learn_patches,
)
from gradus.networks.feedforward import MLP, ResidualMLP

MAKERS = {
    "mlp of maxout": (lambda: MLP(10, (8, 8), activation="maxout", normalization="group"), (10,)),
    "mlp of gates": (lambda: MLP(10, (8, 8), activation="swiglu", normalization="rms"), (10,)),
    "residual mlp": (lambda: ResidualMLP(10, 8, 2), (10,)),
    "lenet": (LeNet5, (1, 28, 28)),
    "lenet 1998": (lambda: LeNet5(style="1998"), (1, 28, 28)),
    "resnet": (lambda: ResNet(3, 2, 8), (3, 20, 18)),
    "resnet, pre-activation, large": (lambda: ResNet(3, 1, 8, block="preactivation", stem="large"), (3, 20, 18)),
    "resnet of series": (lambda: ResNet(3, 1, 8, dimensions=1, normalization="group"), (3, 30)),
    "u-net": (lambda: UNet(2, 3, 2, 4), (2, 9, 14)),
    "dilated": (lambda: DilatedStack(2, 4, 3), (2, 9, 9)),
    "locally connected": (lambda: LocallyConnected2d(2, 3, 6, 3), (2, 6, 6)),
    "tiled": (lambda: TiledConv2d(2, 3, 3), (2, 7, 6)),
    "random filters": (lambda: RandomFilters(2, 6, 3, generator(0)), (2, 9, 9)),
}


def made(name):
    make, shape = MAKERS[name]
    with isolated(0):
        network, x = make().eval(), torch.randn(5, *shape)
        with torch.no_grad():  # branches that start at zero would hide half of a network
            for p in network.parameters():
                p.add_(0.05 * torch.randn(p.shape))
    return network, x


@pytest.mark.parametrize("name", MAKERS)
def test_it_exports_as_one_graph_for_any_batch_size(name):
    network, x = made(name)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)).module()
    torch.testing.assert_close(exported(x[:2]), network(x[:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_and_its_weights_give_the_same_and_rows_do_not_touch_each_other(name):
    network, x = made(name)
    twin = MAKERS[name][0]().eval()
    twin.load_state_dict(copy.deepcopy(network).state_dict())
    out = network(x)
    torch.testing.assert_close(twin(x), out)
    torch.testing.assert_close(network(x[3:4]), out[3:4], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in MAKERS if "random" not in name])
def test_it_trains_in_half_precision_with_gradients_near_those_of_full(name):
    network, x = made(name)
    network.train()
    gradients = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = network(x)
        out.float().square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    full, half = gradients
    assert torch.nn.functional.cosine_similarity(full, half, dim=0) > 0.97


def test_inputs_are_left_as_they_were_by_all_that_happens_in_place():
    for name in MAKERS:
        network, x = made(name)
        before = x.clone()
        network.train()
        network(x)
        assert torch.equal(x, before), name
    images = torch.rand(10, 1, 9, 9)
    before = images.clone()
    learn_patches(images, 4, 3, generator(0), patches=100)(images)
    assert torch.equal(images, before)
