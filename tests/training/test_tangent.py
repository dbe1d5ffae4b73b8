"""Tangent prop: exact directional derivatives, image tangents against images that were really moved."""

import math

import pytest
import torch

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator, isolated
from gradus.foundations.numerical.products import jacobian_vector_product
from gradus.networks import MLP, CategoricalHead, HeadedNetwork
from gradus.training.losses import head_loss
from gradus.training.tangent import image_tangents, tangent_loss, tangent_penalty
from training.small import classifier, rows


def problem(**shape):
    model = classifier(dtype=torch.float64, **shape)
    x = rows(dtype=torch.float64)["inputs"][:6]
    v = torch.randn(6, 2, 4, generator=generator(3), dtype=torch.float64)
    return model, x, v


def test_the_directional_derivative_is_jacobian_times_vector_and_differentiable():
    model, x, v = problem()
    value, along = jacobian_vector_product(model, x)
    change = along(v[:, 0])
    for i in range(6):
        jacobian = torch.autograd.functional.jacobian(lambda z: model(z[None])[0], x[i])
        torch.testing.assert_close(change[i], jacobian @ v[i, 0])
    torch.testing.assert_close(value, model(x))
    forward = torch.autograd.grad(change.square().sum(), list(model.parameters()), allow_unused=True)
    step = 1e-6
    for parameter, gradient in zip(model.parameters(), forward, strict=True):
        if gradient is None:  # biases of the last layer do not change the derivative
            continue
        d = torch.randn(parameter.shape, generator=generator(0), dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * step * d)
            ends.append(jacobian_vector_product(model, x)[1](v[:, 0]).square().sum().item())
            with torch.no_grad():
                parameter.sub_(sign * step * d)
        assert (gradient * d).sum().item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7)


def test_the_penalty_is_the_squared_change_along_every_tangent():
    model, x, v = problem()
    found = tangent_penalty(model, x, v)
    step, expected = 1e-6, torch.zeros(6, dtype=torch.float64)
    for k in range(2):
        change = (model(x + step * v[:, k]) - model(x - step * v[:, k])) / (2 * step)
        expected += change.square().sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
    assert tangent_penalty(model, x, 0 * v).tolist() == [0.0] * 6


def test_a_network_that_does_not_look_there_pays_nothing():
    with isolated(0):
        head = CategoricalHead(4, 3).double()
    with torch.no_grad():
        head.linear.weight[:, 2] = 0
    along = torch.zeros(5, 1, 4, dtype=torch.float64)
    along[:, 0, 2] = 3.0
    x = torch.randn(5, 4, generator=generator(0), dtype=torch.float64)
    assert tangent_penalty(head, x, along).tolist() == [0.0] * 5


def blob(n=33, dx=0.0, dy=0.0, angle=0.0, scale=1.0):
    """A smooth picture without symmetry, moved exactly: by moving the coordinates it is drawn in."""
    axis = torch.arange(n, dtype=torch.float64) - (n - 1) / 2
    y, x = axis[:, None] - dy, axis[None, :] - dx
    c, s = math.cos(angle), math.sin(angle)
    x, y = (c * x + s * y) / scale, (-s * x + c * y) / scale
    picture = torch.exp(-((x - 3) ** 2 / 40 + (y + 2) ** 2 / 90)) + 0.5 * torch.exp(-((x + 5) ** 2 + (y - 4) ** 2) / 50)
    return picture[None, :, :, None]


@pytest.mark.parametrize(
    ("kind", "moved"),
    [
        ("shift_x", lambda t: blob(dx=t)),
        ("shift_y", lambda t: blob(dy=t)),
        ("rotation", lambda t: blob(angle=t / 16)),  # a pixel, 16 pixels from the centre
        ("scale", lambda t: blob(scale=1 + t / 16)),
    ],
)
def test_image_tangents_are_derivatives_of_moved_images(kind, moved):
    step = 1e-5
    exact = ((moved(step) - moved(-step)) / (2 * step))[0, 1:-1, 1:-1]
    found = image_tangents(blob(), [kind], smoothing=0.0)[0, 0, 1:-1, 1:-1]
    scale = exact.abs().max()
    assert (found - exact).abs().max() < 0.03 * scale  # of differences over two pixels
    assert (found + exact).abs().max() > scale  # the sign is right


def test_smoothing_keeps_the_mean_and_channels_apart():
    images = torch.rand(2, 9, 9, 3, generator=generator(0), dtype=torch.float64)
    tangents = image_tangents(images, smoothing=1.2)
    assert tangents.shape == (2, 3, 9, 9, 3)
    for channel in range(3):
        alone = image_tangents(images[..., channel : channel + 1], smoothing=1.2)
        torch.testing.assert_close(tangents[..., channel : channel + 1], alone)
    assert image_tangents(images).abs().max() < image_tangents(images, smoothing=0.0).abs().max()
    flat = torch.full((1, 7, 7, 1), 200, dtype=torch.uint8)
    torch.testing.assert_close(image_tangents(flat), torch.zeros(1, 3, 7, 7, 1), atol=1e-4, rtol=0)


def test_the_loss_adds_the_weighted_penalty_and_takes_tangents_or_a_function():
    model, batch = classifier(dtype=torch.float64, dropout=0.5), rows(dtype=torch.float64)
    batch["tangents"] = torch.randn(26, 3, 4, generator=generator(1), dtype=torch.float64)
    batch["weights"] = torch.linspace(0, 2, 26, dtype=torch.float64)
    base = head_loss(model.head)
    with isolated(0):
        found = tangent_loss(base, weight=0.3)(model, batch, generator(0))
    with isolated(0):
        plain = base(model, batch, generator(0))
    still = HeadedNetwork(None, model.body, model.head).eval()
    penalty = torch.dot(batch["weights"], tangent_penalty(still, batch["inputs"], batch["tangents"]))
    torch.testing.assert_close(found.total, plain.total + 0.3 * penalty)
    assert found.count == plain.count
    model.train()
    by_function = tangent_loss(base, weight=0.3, tangents=lambda x: batch["tangents"])
    with isolated(0):
        torch.testing.assert_close(by_function(model, batch, generator(0)).total, found.total)


def test_training_with_the_penalty_makes_answers_still_along_it():
    x = torch.randn(80, 3, generator=generator(0))
    y = (x[:, 0] > 0).long()
    x[:, 2] = x[:, 0]  # a column that tells the class as well, but shall not be used
    along = torch.zeros(80, 1, 3)
    along[:, 0, 2] = 1.0
    slopes = []
    for weight in (0.0, 1.0):
        with isolated(0):
            model = HeadedNetwork(None, MLP(3, (8,), activation="tanh"), CategoricalHead(8, 2))
        optimizer = torch.optim.Adam(model.parameters(), 0.03)
        loss = tangent_loss(head_loss(model.head), weight=weight)
        for _ in range(150):
            optimizer.zero_grad()
            loss(model, {"inputs": x, "targets": y, "tangents": along}, generator(0)).total.div(80).backward()
            optimizer.step()
        assert (model(x).argmax(1) == y).double().mean() > 0.95
        slopes.append(tangent_penalty(model, x, along).mean().item())
    assert slopes[1] < slopes[0] / 100


def test_wrong_input_is_refused():
    with pytest.raises(InputError, match="tangents of shape"):
        tangent_penalty(lambda x: x, torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(InputError, match="images of shape"):
        image_tangents(torch.zeros(2, 8, 8))
    with pytest.raises(SettingError, match="did you mean 'rotation'"):
        image_tangents(torch.zeros(1, 8, 8, 1), ["rotatoin"])
    with pytest.raises(SettingError, match="smoothing"):
        image_tangents(torch.zeros(1, 8, 8, 1), smoothing=-1.0)
    with pytest.raises(SettingError, match="weight of 0 or more"):
        tangent_loss(head_loss(CategoricalHead(2, 2)), weight=-1.0)
