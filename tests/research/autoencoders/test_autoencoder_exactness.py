"""Autoencoders against closed forms: principal components, the score of a noised density, Lasso's optimum."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import Lasso

from gradus.research.autoencoders import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    PredictiveSparseDecomposition,
)
from gradus.research.autoencoders.predictive import infer_codes, psd_energy

WINE = load_wine().data
WINE = (WINE - WINE.mean(0)) / WINE.std(0)
LINEAR = {"hidden": (), "code_activation": "identity", "scaling": "none", "random_state": 0}


def linear(**settings):
    whole = {"optimizer": "lbfgs", "learning_rate": 1.0, "batch_size": len(WINE), "max_epochs": 30}
    return Autoencoder(**LINEAR, n_components=3, **whole | settings).fit(WINE)


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_spans_the_principal_components(tied):
    model = linear(tied=tied)
    pca = PCA(n_components=3).fit(WINE)
    decoder = np.stack([model.inverse_transform(row[None])[0] for row in np.eye(3)]) - model.inverse_transform(
        [[0.0] * 3]
    )
    assert subspace_angles(decoder.T, pca.components_.T).max() < 1e-3
    residual = np.square(WINE - pca.inverse_transform(pca.transform(WINE))).mean(1)
    assert np.allclose(model.reconstruction_errors(WINE), residual, atol=1e-4)


def test_the_comparison_with_principal_components_rejects_others():
    early = linear(max_epochs=1)
    weights = early.network_.decoder.layers[0].weight.detach().numpy()
    pca = PCA(n_components=4).fit(WINE)
    assert subspace_angles(weights, pca.components_[:3].T).max() > 0.05
    trained = linear().network_.decoder.layers[0].weight.detach().numpy()
    assert subspace_angles(trained, pca.components_[1:4].T).max() > 0.5


# -- the score of a noised density --------------------------------------------------------------------------------

COVARIANCE = np.array([[2.0, 0.9, 0.0], [0.9, 1.0, -0.3], [0.0, -0.3, 0.25]])
CENTRE = np.array([1.0, -2.0, 0.5])
SIGMA = 0.6


def gaussian_rows(n=4096):
    """Return rows whose mean and covariance are exactly those above."""
    drawn = np.random.default_rng(0).normal(size=(n, 3))
    drawn -= drawn.mean(0)
    drawn = drawn @ np.linalg.inv(np.linalg.cholesky(drawn.T @ drawn / n)).T
    return CENTRE + drawn @ np.linalg.cholesky(COVARIANCE).T


def score_of_noised(points, sigma):
    return -(points - CENTRE) @ np.linalg.inv(COVARIANCE + sigma**2 * np.eye(3))


def fitted_denoiser(**settings):
    training = {"max_epochs": 250, "batch_size": 512, "learning_rate": 0.03, "schedule": "cosine"}
    model = DenoisingAutoencoder(**LINEAR, **training, n_components=3, noise_level=SIGMA, **settings)
    return model.fit(gaussian_rows())


@pytest.fixture(scope="module")
def denoiser():
    return fitted_denoiser()


def off(model, sigma=SIGMA):
    points = np.random.default_rng(1).normal(size=(200, 3)) * 1.5 + CENTRE
    truth = score_of_noised(points, sigma)
    return np.linalg.norm(model.log_density_gradient(points) - truth) / np.linalg.norm(truth)


def test_a_denoiser_of_gaussian_rows_gives_the_score_of_the_noised_density(denoiser):
    assert off(denoiser) < 0.03


def test_the_comparison_of_scores_rejects_planted_bugs(denoiser):
    assert off(denoiser, sigma=0.0) > 0.3  # the density without noise
    assert off(denoiser, sigma=SIGMA * 1.2) > 0.06
    missed = fitted_denoiser()
    missed.network_settings_["noise_level"] = SIGMA**0.5  # σ where σ² belongs
    assert off(missed) > 0.2


def test_the_score_is_in_the_units_of_the_rows():
    rows = gaussian_rows()
    stretch = np.array([10.0, 0.2, 3.0])
    settings = {**LINEAR, "scaling": "standardize", "max_epochs": 30, "batch_size": 512, "learning_rate": 0.02}
    plain = DenoisingAutoencoder(**settings, n_components=3, noise_level=0.5).fit(rows)
    stretched = DenoisingAutoencoder(**settings, n_components=3, noise_level=0.5).fit(rows * stretch)
    expected = plain.log_density_gradient(rows[:50]) / stretch
    assert np.allclose(stretched.log_density_gradient(rows[:50] * stretch), expected, rtol=1e-2, atol=1e-3)


# -- predictive sparse decomposition -------------------------------------------------------------------------------


def problem(features=12, code=20, n=7):
    draws = torch.Generator().manual_seed(3)
    atoms = torch.nn.functional.normalize(torch.randn(features, code, generator=draws, dtype=torch.float64), dim=0)
    rows = torch.randn(n, features, generator=draws, dtype=torch.float64)
    return atoms, rows, 0.3 * torch.randn(n, code, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize("code", [8, 20])
@pytest.mark.parametrize("prediction", [0.0, 0.7])
def test_inferred_codes_are_those_of_the_lasso(code, prediction):
    atoms, rows, predicted = problem(code=code)
    weights = {"sparsity": 0.2, "prediction": prediction}
    found = infer_codes(atoms, rows, predicted, **weights, n_iterations=20_000).numpy()
    design = np.concatenate([atoms.numpy(), np.sqrt(prediction) * np.eye(code)])
    for row, guess, codes in zip(rows.numpy(), predicted.numpy(), found, strict=True):
        target = np.concatenate([row, np.sqrt(prediction) * guess])
        lasso = Lasso(alpha=0.2 / len(target), fit_intercept=False, tol=1e-12, max_iter=100_000).fit(design, target)
        assert np.allclose(codes, lasso.coef_, atol=1e-5)


def test_no_step_of_the_inference_raises_the_energy():
    atoms, rows, predicted = problem()
    weights = {"sparsity": 0.2, "prediction": 0.5}
    energies = [
        psd_energy(atoms, rows, infer_codes(atoms, rows, predicted, **weights, n_iterations=n), predicted, **weights)
        for n in range(60)
    ]
    falls = torch.stack(energies[:-1]) - torch.stack(energies[1:])
    assert bool((falls >= -1e-12).all()) and bool((energies[0] - energies[-1] > 0.1).all())
    wrong = psd_energy(atoms, rows, predicted - 0.1, predicted, **weights)  # a step of the wrong sign would show
    assert bool((wrong > energies[1]).all())


def test_training_lowers_the_energy_and_the_encoder_comes_to_foresee_it():
    images = load_digits().images[:600]
    settings = {"n_components": 60, "sparsity": 0.1, "batch_size": 100, "learning_rate": 3e-3, "random_state": 0}
    start = PredictiveSparseDecomposition(**settings, max_epochs=0).fit(images)
    model = PredictiveSparseDecomposition(**settings, max_epochs=25).fit(images)
    losses = [row["loss"] for row in model.history_]
    assert losses == sorted(losses, reverse=True)
    assert model.energy(images).mean() < 0.6 * start.energy(images).mean()
    gaps = [(m.energy(images, 0) - m.energy(images)).mean() for m in (start, model)]
    assert gaps[1] < 0.3 * gaps[0]
    lengths = model.network_.decoder.atoms().norm(dim=0)
    assert torch.allclose(lengths, torch.ones(60), atol=1e-5)


# -- what penalties do ----------------------------------------------------------------------------------------------


def test_contraction_makes_the_code_change_less():
    images = load_digits().images[:500]
    norms = []
    for contraction in (0.0, 1.0):
        model = ContractiveAutoencoder(n_components=40, contraction=contraction, max_epochs=40, random_state=0)
        norms.append(np.square(model.fit(images).tangents(images[:50])[1]).sum(1).mean())
    assert norms[1] < 0.5 * norms[0]


def test_tangents_are_the_singular_vectors_of_the_jacobian():
    images = load_digits().images[:40]
    model = ContractiveAutoencoder(n_components=10, hidden=(12,), max_epochs=3, random_state=0).fit(images)
    directions, rates = model.tangents(images[:2], 4)
    network = model.network_
    for image, found, sizes in zip(images[:2], directions, rates, strict=True):
        row = torch.tensor(image.reshape(-1) / 16, dtype=torch.float32)
        exact = torch.autograd.functional.jacobian(lambda x: network.encoder(x[None])[0], row)
        _, values, vectors = torch.linalg.svd(exact)
        assert np.allclose(sizes, values[:4], rtol=1e-3)
        assert np.allclose(np.abs(found.reshape(4, -1) @ vectors[:4].numpy().T), np.eye(4), atol=2e-2)
