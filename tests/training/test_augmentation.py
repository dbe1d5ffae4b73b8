"""Augmentation against NumPy, SciPy and torch's own losses; the draws against their distributions."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.networks import BinaryHead, CategoricalHead, HeadedNetwork, MultiLabelHead
from gradus.training.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    AugmentationOptions,
    AugmentedLoss,
    move,
    turn,
)
from gradus.training.losses import head_loss

NUMPY = {"reflection": "symmetric", "border": "edge", "zeros": "constant"}
SCIPY = {"reflection": "reflect", "border": "nearest", "zeros": "grid-constant"}


def images(n=6, height=9, width=7, channels=3, seed=0, dtype=torch.float32):
    numbers = torch.rand(n, height, width, channels, generator=generator(seed), dtype=torch.float64)
    return (numbers * 255).to(dtype)


def augment(names, batch, seed=0, mean=None, std=None, **strengths):
    options = AugmentationOptions(augment=names, **{f"augment_{name}": value for name, value in strengths.items()})
    return Augmentation(options, mean, std)(batch, generator(seed))


@pytest.mark.parametrize("padding", NUMPY)
@pytest.mark.parametrize(("dtype", "channels"), [(torch.uint8, 1), (torch.uint8, 3), (torch.float32, 2)])
def test_a_shift_is_a_window_of_numpys_padded_image(padding, dtype, channels):
    batch = images(channels=channels, dtype=dtype)
    down, right = torch.tensor([0, 3, -3, 1, 2, -1]), torch.tensor([0, -2, 3, 0, -3, 1])
    flipped = torch.tensor([False, True, False, True, True, False])
    moved = move(batch, down, right, flipped, padding)
    assert moved.dtype == dtype
    for image, result, r, c, flip in zip(batch.numpy(), moved.numpy(), down, right, flipped, strict=True):
        source = image[:, ::-1] if flip else image
        wide = np.pad(source, ((3, 3), (3, 3), (0, 0)), mode=NUMPY[padding])
        np.testing.assert_array_equal(result, wide[3 - r : 3 - r + 9, 3 - c : 3 - c + 7])


def test_one_axis_alone_moves():
    batch = images(n=1, channels=1)
    one = torch.ones(1, dtype=torch.int64)
    assert torch.equal(move(batch, down=one, padding="zeros")[:, 1:], batch[:, :-1])
    assert torch.equal(move(batch, right=one, padding="zeros")[:, :, 1:], batch[:, :, :-1])
    assert not move(batch, right=one, padding="zeros")[:, :, 0].any()


@pytest.mark.parametrize("padding", SCIPY)
def test_turning_and_scaling_are_scipys_affine_transform(padding):
    batch = images(dtype=torch.float64)
    angle = torch.tensor([0.0, 0.3, -0.5, 1.2, 0.0, 3.0], dtype=torch.float64)
    factor = torch.tensor([1.0, 1.0, 1.3, 0.7, 0.8, 1.1], dtype=torch.float64)
    turned = turn(batch, angle, factor, padding).numpy()
    centre = np.array([4.0, 3.0])
    for image, result, a, f in zip(batch.numpy(), turned, angle.numpy(), factor.numpy(), strict=True):
        # rows and columns; counter-clockwise as seen: from an output pixel back to the input
        matrix = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) / f
        for channel in range(3):
            wanted = ndimage.affine_transform(
                image[..., channel], matrix, offset=centre - matrix @ centre, order=1, mode=SCIPY[padding]
            )
            np.testing.assert_allclose(result[..., channel], wanted, atol=1e-9)


def test_a_quarter_turn_is_numpys():
    batch = images(height=6, width=6, dtype=torch.float64)
    turned = turn(batch, torch.full((6,), torch.pi / 2, dtype=torch.float64))
    np.testing.assert_allclose(turned, np.rot90(batch.numpy(), axes=(1, 2)), atol=1e-9)


def test_nothing_asked_for_changes_nothing():
    batch = images(dtype=torch.uint8)
    changed, share = augment("none", batch)
    assert changed is batch and share is None


def test_one_state_of_the_generator_gives_one_result():
    batch = images(n=40)
    every = ",".join(AUGMENTATIONS)
    one, same, other = (augment(every, batch, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.images, same.images) and torch.equal(one.share, same.share)
    assert not torch.equal(one.images, other.images)


def test_shifts_are_even_over_the_whole_range_and_independent():
    n = 20_000
    batch = torch.zeros(n, 9, 9, 1, dtype=torch.uint8)
    batch[:, 4, 4] = 1
    moved = augment("shift", batch, shift=0.25, padding="zeros").images[..., 0]  # by at most 2
    places = moved.flatten(1).float().argmax(1)
    counts = np.zeros((9, 9))
    np.add.at(counts, (places // 9, places % 9), 1)
    assert counts[2:7, 2:7].sum() == n
    assert stats.chisquare(counts[2:7, 2:7].ravel()).pvalue > 1e-5


def test_half_are_flipped():
    n = 20_000
    batch = torch.arange(2, dtype=torch.uint8).reshape(1, 1, 2, 1).repeat(n, 1, 1, 1)
    flipped = augment("flip", batch).images[:, 0, 0, 0].sum().item()
    assert stats.binomtest(flipped, n).pvalue > 1e-5


def test_brightness_adds_and_contrast_stretches_about_the_mean():
    batch, std = images(dtype=torch.float64), torch.tensor([10.0, 20.0, 40.0], dtype=torch.float64)
    change = (augment("brightness", batch, std=std, brightness=0.5).images - batch) / std
    flat = change.flatten(1)
    torch.testing.assert_close(flat, flat[:, :1].expand_as(flat))
    assert flat.abs().max() <= 0.5 and flat[:, 0].std() > 0.1
    other = augment("contrast", batch, std=std, contrast=1.0).images
    mean = batch.mean((1, 2), keepdim=True)
    torch.testing.assert_close(other.mean((1, 2), keepdim=True), mean)
    factor = ((other - mean) / (batch - mean)).flatten(1)
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    assert factor.min() >= 0.5 and factor.max() <= 2 and factor[:, 0].log().std() > 0.1


def test_cutout_puts_the_mean_into_one_square():
    batch, mean = images(n=300, height=10, width=10), torch.tensor([1000.0, 2000.0, 3000.0])
    cut = augment("cutout", batch, mean=mean, cutout=0.4).images
    hole = (cut == mean).all(3)
    torch.testing.assert_close(cut[~hole], batch[~hole])
    rows, columns = hole.any(2), hole.any(1)
    assert torch.equal(hole, rows[:, :, None] & columns[:, None, :])
    whole = rows[:, 0].logical_not() & rows[:, -1].logical_not()  # not cut off by the border
    assert set(rows[whole].sum(1).tolist()) <= {4} and 0.3 < whole.float().mean() < 0.8
    assert hole.any(2).any(1).all()


def test_mixup_mixes_neighbours_by_draws_of_a_beta_distribution():
    batch = torch.zeros(20_000, 2, 2, 1)
    batch[1::2] = 1.0
    mixed, share = augment("mixup", batch, mixup=0.4)
    own = torch.where(batch[:, 0, 0, 0] == 1, mixed[:, 0, 0, 0], 1 - mixed[:, 0, 0, 0])
    torch.testing.assert_close(own, share)
    assert stats.kstest(share.double().numpy(), stats.beta(0.4, 0.4).cdf).pvalue > 1e-5


def test_cutmix_tells_the_area_it_kept():
    batch = torch.arange(500.0).reshape(-1, 1, 1, 1).expand(500, 8, 8, 1).clone()
    mixed, share = augment("cutmix", batch)
    ours, theirs = mixed == batch, mixed == batch.roll(1, 0)
    assert (ours ^ theirs).all()
    torch.testing.assert_close(share, ours.float().mean((1, 2, 3)))
    assert torch.equal(theirs, theirs.any(2, keepdim=True) & theirs.any(1, keepdim=True))
    assert 0.55 < share.mean() < 0.85  # the border cuts half of some boxes off


def test_mixup_and_cutmix_share_the_images():
    batch = torch.arange(1000.0).reshape(-1, 1, 1, 1).expand(1000, 8, 8, 1).clone()
    mixed, _ = augment("mixup,cutmix", batch, mixup=5.0)
    pasted = ((mixed == batch) | (mixed == batch.roll(1, 0))).all(3).all(2).all(1)
    assert stats.binomtest(int(pasted.sum()), 1000).pvalue > 1e-5


def example(n=12, classes=4, seed=3):
    batch = {"inputs": images(n, 4, 4, 1, seed), "targets": torch.arange(n) % classes}
    torch.manual_seed(seed)
    return HeadedNetwork(None, nn.Flatten(), CategoricalHead(16, classes)), batch


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_mixed_images_is_torchs_with_mixed_targets(smoothing):
    network, batch = example()
    augmentation = Augmentation(AugmentationOptions(augment="mixup", augment_mixup=1.0))
    loss = AugmentedLoss(head_loss(network.head, label_smoothing=smoothing), augmentation)
    found = loss(network, batch, generator(5))
    mixed, share = augmentation(batch["inputs"], generator(5))
    hot = F.one_hot(batch["targets"], 4).float()
    soft = share[:, None] * hot + (1 - share[:, None]) * hot.roll(1, 0)
    wanted = F.cross_entropy(network(mixed), soft, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(found.total, wanted)
    assert found.count == 12.0


def test_weights_are_mixed_with_their_images():
    network, batch = example()
    weights = torch.linspace(0.5, 3, 12)
    loss = AugmentedLoss(head_loss(network.head), Augmentation(AugmentationOptions(augment="cutmix")))
    mixed, share = loss.augmentation(batch["inputs"], generator(5))
    found = loss(network, {**batch, "weights": weights}, generator(5))
    hot = F.one_hot(batch["targets"], 4).float() * weights[:, None]
    soft = share[:, None] * hot + (1 - share[:, None]) * hot.roll(1, 0)
    torch.testing.assert_close(found.total, -(soft * network(mixed).log_softmax(1)).sum())
    torch.testing.assert_close(found.count, soft.sum())


@pytest.mark.parametrize("head", [BinaryHead(16), MultiLabelHead(16, 3)])
def test_two_classes_and_several_labels_are_mixed_too(head):
    network = HeadedNetwork(None, nn.Flatten(), head)
    targets = (torch.rand(12, *head.event_shape, generator=generator(1)) > 0.5).float()
    loss = AugmentedLoss(head_loss(head), Augmentation(AugmentationOptions(augment="mixup", augment_mixup=1.0)))
    batch = {"inputs": images(12, 4, 4, 1), "targets": targets}
    mixed, share = loss.augmentation(batch["inputs"], generator(5))
    share = share.view(-1, *[1] * len(head.event_shape))
    soft = share * targets + (1 - share) * targets.roll(1, 0)
    wanted = F.binary_cross_entropy_with_logits(network(mixed), soft, reduction="sum")
    torch.testing.assert_close(loss(network, batch, generator(5)).total, wanted)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SettingError, match=r"got 'rotation'; did you mean 'rotate'\?"):
        Augmentation(AugmentationOptions(augment="shift,rotation"))


def test_images_without_channels_are_refused():
    with pytest.raises(InputError, match=r"shape \(n, height, width, channels\), got \(3, 8, 8\)"):
        augment("flip", torch.zeros(3, 8, 8))
