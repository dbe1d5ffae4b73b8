"""Images on a CUDA device: the same answers as on the processor, and steps that never wait for the device."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import gradus
from gradus import ImageClassifier
from gradus.core.randomness import generator
from gradus.networks import CategoricalHead, HeadedNetwork
from gradus.networks.contrast import GlobalContrastNormalization, ImageSize, LocalContrastNormalization, ZCAWhitening
from gradus.training.augmentation import AUGMENTATIONS, Augmentation, AugmentationOptions, AugmentedLoss, move, turn
from gradus.training.losses import head_loss

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
EVERY = ",".join(AUGMENTATIONS)
DIGITS = load_digits()
X, Y = DIGITS.images.astype(np.float32), DIGITS.target


def pair(*shape, dtype=torch.float32):
    numbers = (torch.rand(shape, generator=generator(0)) * 255).to(dtype)
    return numbers, numbers.cuda()


@pytest.mark.parametrize("padding", ["reflection", "border", "zeros"])
def test_moves_and_turns_agree_with_the_processor(padding):
    here, there = pair(6, 9, 7, 3, dtype=torch.uint8)
    offset, flipped = torch.tensor([0, 3, -3, 1, 2, -1]), torch.arange(6) % 2 == 0
    moved = move(there, offset.cuda(), -offset.cuda(), flipped.cuda(), padding)
    assert torch.equal(moved.cpu(), move(here, offset, -offset, flipped, padding))
    here, there = pair(6, 9, 7, 3)
    angle, factor = torch.linspace(-2, 2, 6), torch.linspace(0.7, 1.4, 6)
    turned = turn(there, angle.cuda(), factor.cuda(), padding)
    torch.testing.assert_close(turned.cpu(), turn(here, angle, factor, padding), atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_augmentation_waits_for_the_device(dtype):
    _, batch = pair(32, 8, 8, 3, dtype=dtype)
    like = {"device": "cuda"}
    augment = Augmentation(AugmentationOptions(augment=EVERY), torch.full((3,), 9.0, **like), torch.ones(3, **like))
    network = HeadedNetwork(None, nn.Flatten(), CategoricalHead(192, 4)).cuda()
    loss, targets, source = (
        AugmentedLoss(head_loss(network.head), augment),
        torch.arange(32, **like) % 4,
        generator(0, "cuda"),
    )
    loss(network, {"inputs": batch, "targets": targets}, source)  # libraries load
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(network, {"inputs": batch, "targets": targets}, source).total.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_draws_follow_the_generator_of_the_device():
    _, batch = pair(64, 8, 8, 1)
    augment = Augmentation(AugmentationOptions(augment=EVERY), torch.zeros(1).cuda(), torch.ones(1).cuda())
    one, same, other = (augment(batch, generator(seed, "cuda")) for seed in (1, 1, 2))
    assert torch.equal(one.images, same.images) and torch.equal(one.share, same.share)
    assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize("autocast", [False, True])
def test_preparations_agree_with_the_processor(autocast):
    here, there = pair(40, 3, 12, 10)
    layers = [
        GlobalContrastNormalization(),
        LocalContrastNormalization(3),
        ZCAWhitening.from_data(here),
        ImageSize(1, (8, 8)),
    ]
    for layer in layers:
        wanted = layer(here)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=autocast):
            torch.testing.assert_close(layer.cuda()(there).cpu(), wanted, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("augment", ["none", "shift,flip", EVERY])
def test_a_classifier_learns_and_its_folder_answers_on_the_processor(augment, graphs, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ImageClassifier(
            network="resnet", depth=1, width=16, max_epochs=30, learning_rate=0.01, schedule="one_cycle",
            batch_size=100, precision="bf16", augment=augment, prepare="gcn,zca", device="cuda",
            cuda_graphs=graphs, random_state=0,
        ).fit(X[:900], Y[:900])  # fmt: skip
    assert model.score(X[900:], Y[900:]) > (0.9 if augment != EVERY else 0.5)
    assert ("CUDA graph" in model.execution_) and (not graphs or "no CUDA graph" not in model.execution_)
    model.set_params(test_augment="flip,shift")
    answers = model.predict_proba(X[900:])
    model.save(tmp_path)
    again = gradus.load(tmp_path)
    again.network_.cpu()
    np.testing.assert_allclose(again.predict_proba(X[900:]), answers, atol=0.02)


def test_a_training_cut_off_ends_in_the_same_bits(tmp_path):
    def fit(folder, **more):
        settings = {"augment": EVERY, "max_epochs": 3, "checkpoint": str(folder), "device": "cuda", "random_state": 0}
        return ImageClassifier(**{**settings, "network": "mlp", "cuda_graphs": False, **more}).fit(X, Y)

    whole = fit(tmp_path / "whole").network_.state_dict()
    fit(tmp_path / "cut", max_steps=40)
    for name, tensor in fit(tmp_path / "cut").network_.state_dict().items():
        assert torch.equal(tensor, whole[name]), name


@pytest.mark.parametrize("freeze", ["none", "body", "head_first"])
def test_transfer_trains_on_the_device(freeze, tmp_path):
    folder = ImageClassifier(max_epochs=3, device="cuda", random_state=0).fit(X, Y).save(tmp_path)
    settings = {"start_from": str(folder), "freeze": freeze, "body_rate": 0.1, "head_epochs": 5, "max_epochs": 15}
    model = ImageClassifier(**settings, device="cuda", learning_rate=0.01, random_state=1).fit(X[:900], Y[:900])
    assert model.score(X[900:], Y[900:]) > 0.85
