import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.convolutional import ResNet

KINDS = [("v1", False), ("v1", True), ("preactivation", False), ("preactivation", True)]


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("network", "classes", "published"),
    [
        # torchvision's counts, and those of the CIFAR network with projections on its shortcuts
        (lambda: ResNet(3, 2, 64, stages=4, stem="large"), 1000, 11_689_512),
        (lambda: ResNet(3, (3, 4, 6, 3), 64, stem="large"), 1000, 21_797_672),
        (lambda: ResNet(3, (3, 4, 6, 3), 64, stem="large", bottleneck=True), 1000, 25_557_032),
        (lambda: ResNet(3, 3, 16), 10, 272_474),
    ],
)
def test_known_networks_have_their_published_number_of_parameters(network, classes, published):
    with torch.device("meta"):
        body = network()
    assert count(body) + (body.out_features + 1) * classes == published


def randomized(network):
    """Weights, running means and gains all unlike their start, so that nothing is zero or one by luck."""
    with torch.no_grad(), isolated(0):
        for name, tensor in network.state_dict().items():
            if "running_var" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point():
                tensor.add_(0.1 * torch.randn(tensor.shape))
    return network.eval()


def standardized(layer, x):
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)


def convolved(layer, x):
    return F.conv2d(x, layer.weight.contiguous(), None, layer.stride, layer.kernel_size[0] // 2)


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("stem", ["small", "large"])
def test_v1_is_the_formula_of_the_paper(stem, bottleneck):
    network = randomized(ResNet(3, (1, 2), 4, stem=stem, bottleneck=bottleneck))
    x = torch.randn(2, 3, 20, 24)
    convolutions = [m for m in network.stem if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.stem if isinstance(m, nn.BatchNorm2d)]
    h = F.relu(standardized(norms[0], convolved(convolutions[0], x)))
    if stem == "large":
        assert convolutions[0].kernel_size == (7, 7) and convolutions[0].stride == (2, 2)
        h = F.max_pool2d(h, 3, 2, 1)
    for block in (b for stage in network.stages for b in stage):
        branch = [m for m in block.branch if isinstance(m, nn.Conv2d)]
        gains = [m for m in block.branch if isinstance(m, nn.BatchNorm2d)]
        assert [m.kernel_size[0] for m in branch] == ([1, 3, 1] if bottleneck else [3, 3])
        z = h
        for index, (layer, norm) in enumerate(zip(branch, gains, strict=True)):
            z = standardized(norm, convolved(layer, F.relu(z) if index else z))
        if block.shortcut is not None:
            h = standardized(block.shortcut[1], convolved(block.shortcut[0], h))
        h = F.relu(z + h)
    torch.testing.assert_close(network.maps(x), h, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(network(x), h.mean((2, 3)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_preactivation_is_the_formula_of_the_paper(bottleneck):
    network = randomized(ResNet(3, (1, 2), 4, block="preactivation", bottleneck=bottleneck))
    x = torch.randn(2, 3, 9, 8)
    h = convolved(network.stem[0], x)
    for block in (b for stage in network.stages for b in stage):
        ready = F.relu(standardized(block.ready[0], h))
        z = ready
        for layer in block.branch:
            if isinstance(layer, nn.Conv2d):
                z = convolved(layer, z)
            elif isinstance(layer, nn.BatchNorm2d):
                z = F.relu(standardized(layer, z))
        h = z + (h if block.shortcut is None else convolved(block.shortcut, ready))
    h = F.relu(standardized(network.end[0], h))
    torch.testing.assert_close(network.maps(x), h, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("block", "bottleneck"), KINDS)
@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_branches_start_at_zero_and_then_every_weight_moves(block, bottleneck, normalization):
    with isolated(0):
        network = ResNet(2, 2, 32, stages=2, block=block, bottleneck=bottleneck, normalization=normalization)
        x, target = torch.randn(8, 2, 8, 8), torch.randn(8, network.out_features)
    h = network.stem(x)
    for b in (b for stage in network.stages for b in stage):
        assert b.branch(b.ready(h) if block == "preactivation" else h).abs().max() == 0
        h = b(h)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    # Zeros are passed one layer a step from the end of a branch to its beginning; a trap would hold them for ever.
    for _ in range(3):
        optimizer.zero_grad()
        F.mse_loss(network(x), target).backward()
        still = [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0]
        optimizer.step()
    assert still == []


@pytest.mark.parametrize(("block", "bottleneck"), KINDS)
def test_a_series_is_an_image_one_pixel_high(block, bottleneck):
    settings = {"depth": 2, "width": 4, "stages": 2, "block": block, "bottleneck": bottleneck, "stem": "large"}
    series = randomized(ResNet(3, dimensions=1, **settings))
    image = ResNet(3, dimensions=2, **settings).eval()
    with torch.no_grad():
        for name, tensor in image.state_dict().items():
            flat = series.state_dict()[name]
            if tensor.ndim == 4:  # what the rows above and below are multiplied with is of no account
                tensor.normal_()
                tensor[:, :, tensor.shape[2] // 2] = flat
            else:
                tensor.copy_(flat)
    x = torch.randn(2, 3, 37)
    torch.testing.assert_close(series(x), image(x[:, :, None]), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("stem", ["small", "large"])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_inputs_of_any_size_go_in(stem, dimensions):
    network = ResNet(2, 1, 4, dimensions=dimensions, stem=stem).eval()
    for size in (1, 5, 16, 21):
        assert network(torch.randn(2, 2, *[size] * dimensions)).shape == (2, 16)


def test_an_image_repeated_in_a_circle_has_the_features_of_the_image_in_the_middle():
    # The average over the grid: far from borders, moving by the total stride moves maps by one cell and no more.
    network = randomized(ResNet(1, 1, 4))
    x = torch.zeros(1, 1, 96, 96)
    x[:, :, 40:56, 40:56] = torch.randn(16, 16)
    torch.testing.assert_close(network(x), network(x.roll((4, -8), (2, 3))), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(network(x), network(x.roll((1, 0), (2, 3))), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("block", ["v1", "preactivation"])
def test_maps_lie_channels_last_from_the_first_layer_on(block, channels):
    network = ResNet(channels, 1, 8, block=block)
    seen = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(torch.randn(2, channels, 16, 16))
    assert seen and all(m.is_contiguous(memory_format=torch.channels_last) for m in seen)


def test_dropout_acts_in_training_only():
    network = ResNet(1, 1, 8, dropout=0.5, normalization="group")
    x = torch.randn(2, 1, 8, 8)
    with isolated(0):
        assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth": 0}, "depth"),
        ({"depth": ()}, "1 block or more for each stage"),
        ({"depth": (2, 0)}, "1 block or more for each stage"),
        ({"depth": (2, 2), "stages": 3}, "stages=2"),
        ({"stages": 0}, "stages"),
        ({"width": 0}, "width"),
        ({"block": "v2"}, "v1, preactivation"),
        ({"stem": "tiny"}, "small, large"),
        ({"normalization": "bach"}, "did you mean 'batch'"),
        ({"dropout": 1.0}, "dropout"),
        ({"dimensions": 4}, "dimensions of 1, 2 or 3"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        ResNet(3, **{"width": 4, **settings})


def test_other_channels_and_axes_are_refused():
    with pytest.raises(InputError, match=r"\(n, 3, height, width\)"):
        ResNet(3, 1, 4)(torch.zeros(2, 1, 8, 8))
    with pytest.raises(InputError, match=r"\(n, 3, length\)"):
        ResNet(3, 1, 4, dimensions=1)(torch.zeros(2, 3, 8, 8))
