"""Pretraining: what is copied, what unlabelled rows are worth, that a fit goes on, is kept and repeats."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from gradus.core.errors import InputError
from gradus.networks import MLP
from gradus.research.autoencoders import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from gradus.research.representation import (
    ManifoldTangentClassifier,
    PretrainedClassifier,
    copy_stack_,
    greedy_pretraining,
)
from gradus.research.representation.tangent_classifier import ManifoldTangentLoss, code_tangents
from gradus.training.losses import head_loss
from gradus.training.tangent import tangent_penalty

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images, DIGITS.target
QUICK = {
    "activation": "sigmoid",
    "hidden": (30, 20),
    "pretrain_epochs": 3,
    "max_epochs": 3,
    "batch_size": 50,
    "random_state": 0,
}


def first_weights(model):
    return model.network_.body.layers[0].weight.detach().numpy()


def test_each_autoencoder_is_fitted_on_the_codes_of_the_one_before():
    kinds = [DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
    stack = [
        kind(n_components=size, max_epochs=2, random_state=0) for kind, size in zip(kinds, (30, 20, 10), strict=True)
    ]
    fitted = greedy_pretraining(stack, IMAGES[:200])
    rows = IMAGES[:200]
    for layer, kind, size in zip(fitted, kinds, (30, 20, 10), strict=True):
        alone = kind(n_components=size, max_epochs=2, random_state=0).fit(rows)
        assert np.array_equal(layer.transform(rows), alone.transform(rows))
        rows = alone.transform(rows)
    body = MLP(64, (30, 20, 10, 5), activation="sigmoid").eval()
    copy_stack_([m for m in body.layers if isinstance(m, torch.nn.Linear)], fitted)
    with torch.no_grad():
        deep = torch.tensor(IMAGES[:200].reshape(200, -1) / 16, dtype=torch.float32)
        for layer in body.layers[:2]:
            deep = layer(deep)
    assert np.allclose(deep, fitted[0].transform(IMAGES[:200]), atol=1e-5)
    with pytest.raises(InputError, match="layers of shapes"):
        copy_stack_([torch.nn.Linear(64, 31)], fitted)
    convolutional = Autoencoder(network="conv", n_components=3, max_epochs=1).fit(IMAGES[:50])
    with pytest.raises(InputError, match="dense encoders"):
        copy_stack_([torch.nn.Linear(64, 3)], [convolutional])
    with pytest.raises(InputError, match="one autoencoder or more"):
        greedy_pretraining([], IMAGES)


def test_weights_reach_the_autoencoders_that_take_them():
    rows, weights = IMAGES[:60], np.repeat([1.0, 2.0], 30)
    settings = {"n_components": 5, "max_epochs": 3, "batch_size": 500, "random_state": 0}
    weighted = greedy_pretraining([Autoencoder(**settings)], rows, weights)[0]
    repeated = Autoencoder(**settings).fit(np.concatenate([rows, rows[30:]]))
    assert np.allclose(weighted.transform(rows), repeated.transform(rows), atol=1e-4)
    assert not np.allclose(weighted.transform(rows), Autoencoder(**settings).fit(rows).transform(rows), atol=1e-2)


@pytest.mark.parametrize("pretraining", ["contractive", "denoising", "autoencoder"])
def test_a_classifier_begins_with_the_weights_of_its_stack(pretraining):
    quick = {**QUICK, "max_epochs": 0}
    model = PretrainedClassifier(**quick, pretraining=pretraining).fit(
        IMAGES[:100], LABELS[:100], X_unlabeled=IMAGES[100:400]
    )
    plain = PretrainedClassifier(**quick, pretraining="none").fit(IMAGES[:100], LABELS[:100])
    assert not np.allclose(first_weights(model), first_weights(plain), atol=1e-3)
    assert not {"_unlabelled", "_to_pretrain", "_stacks"} & set(vars(model))
    # the layers reconstruct: linear regression from the codes to the rows leaves less than from random ones
    left = []
    for each in (model, plain):
        with torch.no_grad():
            prepared = each.network_.prepare(torch.tensor(IMAGES[400:].reshape(-1, 64), dtype=torch.float32))
            codes = each.network_.body.layers[:2](prepared).double().numpy()
        design = np.concatenate([codes, np.ones((len(codes), 1))], 1)
        answer = design @ np.linalg.lstsq(design, IMAGES[400:].reshape(-1, 64), rcond=None)[0]
        left.append(np.square(answer - IMAGES[400:].reshape(-1, 64)).mean())
    assert left[0] < left[1]


def test_rows_without_labels_are_worth_something():
    settings = {"activation": "sigmoid", "hidden": (200,), "pretrain_epochs": 30, "learning_rate": 2e-3}
    gains = []
    for seed in range(2):
        scores = []
        for pretraining in ("autoencoder", "none"):
            model = PretrainedClassifier(**settings, pretraining=pretraining, random_state=seed)
            model.fit(IMAGES[:100], LABELS[:100], X_unlabeled=IMAGES[100:1400])
            scores.append(model.score(IMAGES[1400:], LABELS[1400:]))
        gains.append(scores[0] - scores[1])
    assert min(gains) > 0.005  # 397 test images; the seeds move it by less than a hundredth


@pytest.mark.parametrize("cls", [PretrainedClassifier, ManifoldTangentClassifier])
def test_it_is_kept_repeats_and_goes_on(cls, tmp_path):
    fit = {"X_unlabeled": IMAGES[100:300]}
    model = cls(**QUICK, n_threads=1).fit(IMAGES[:100], LABELS[:100], **fit)
    assert model.predict(IMAGES[:5]).shape == (5,)
    assert np.array_equal(model.predict_proba(IMAGES.reshape(-1, 64)), model.predict_proba(IMAGES))
    loaded = cls.load(model.save(tmp_path / "kept"))
    assert np.array_equal(loaded.predict_proba(IMAGES), model.predict_proba(IMAGES))
    kept = clone(model).set_params(checkpoint=str(tmp_path / "steps"), checkpoint_every=1)
    part = clone(kept).set_params(max_steps=4).fit(IMAGES[:100], LABELS[:100], **fit)
    assert part.n_steps_ == 4
    torch.manual_seed(5)
    again = kept.fit(IMAGES[:100], LABELS[:100], **fit)
    assert again.n_steps_ == model.n_steps_ == 6
    assert np.array_equal(again.predict_proba(IMAGES), model.predict_proba(IMAGES))


def test_members_and_a_second_training_begin_with_pretrained_layers_too():
    several = PretrainedClassifier(**{**QUICK, "max_epochs": 0}, members=2).fit(IMAGES[:100], LABELS[:100])
    one, other = (body.layers[0].weight for body in several.network_.body.members)
    assert not torch.allclose(one, other)
    again = PretrainedClassifier(**QUICK, retrain="epochs", early_stopping=True, patience=1, learning_rate=1e-9)
    again.fit(IMAGES[:100], LABELS[:100])
    plain = PretrainedClassifier(**{**QUICK, "max_epochs": 0}).fit(IMAGES[:100], LABELS[:100])
    assert np.allclose(first_weights(again), first_weights(plain), atol=1e-4)


# -- tangents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [5, 12])
def test_tangents_are_leading_singular_vectors(code):
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(8, code), torch.nn.Tanh(), torch.nn.Linear(code, code)).double()
    rows = torch.randn(6, 8, dtype=torch.float64)
    found = code_tangents(encoder, rows, 3)
    for row, directions in zip(rows, found, strict=True):
        exact = torch.autograd.functional.jacobian(lambda x: encoder(x[None])[0], row)
        _, _, vectors = torch.linalg.svd(exact)
        assert torch.allclose((directions @ vectors[:3].T).abs(), torch.eye(3, dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("prepared", [False, True])
def test_the_penalty_is_along_the_rows_own_directions_in_their_units(prepared):
    model = ManifoldTangentClassifier(**{**QUICK, "max_epochs": 0}).fit(IMAGES[:60], LABELS[:60])
    network = model.network_
    rows = torch.tensor(IMAGES[:7].reshape(7, -1), dtype=torch.float32)
    directions = torch.randn(7, 2, 64, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor(LABELS[:7])
    whole = network
    if prepared:
        whole = type(network)(None, network.body, network.head)
        rows = network.prepare(rows)
    batch = {"inputs": rows, "targets": targets, "directions": directions}
    plain = head_loss(network.head)
    held = ManifoldTangentLoss(plain, 0.5)(whole, batch, torch.Generator())
    scaled = network.prepare(torch.tensor(IMAGES[:7].reshape(7, -1), dtype=torch.float32))
    penalty = tangent_penalty(lambda x: network.head(network.body(x)), scaled, directions).sum()
    expected = plain(whole, batch, torch.Generator()).total + 0.5 * penalty
    assert torch.allclose(held.total, expected, rtol=1e-4) and penalty.item() > 0.1


def test_answers_are_held_along_the_tangents():
    changes = []
    for weight in (0.0, 0.1):
        settings = {**QUICK, "hidden": (60,), "max_epochs": 20, "learning_rate": 3e-3, "n_tangents": 6}
        model = ManifoldTangentClassifier(**settings, manifold_weight=weight).fit(IMAGES[:300], LABELS[:300])
        network = model.network_
        start = ManifoldTangentClassifier(**{**settings, "max_epochs": 0}).fit(IMAGES[:300], LABELS[:300]).network_
        rows = network.prepare(torch.tensor(IMAGES[300:340].reshape(40, -1), dtype=torch.float32)).detach()
        directions = code_tangents(start.body, rows, 6)
        penalty = tangent_penalty(lambda x, of=network: of.head(of.body(x)), rows, directions)
        changes.append(penalty.mean().item())
    assert changes[1] < 0.5 * changes[0]
