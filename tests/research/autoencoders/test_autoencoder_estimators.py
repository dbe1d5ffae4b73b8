"""Autoencoders as estimators: pictures, persistence, resuming, noise, searching by bits, exhibits."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from gradus.core.errors import InputError, SettingError
from gradus.research.autoencoders import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    HammingIndex,
    PredictiveSparseDecomposition,
    SemanticHashing,
    SparseAutoencoder,
    StochasticAutoencoder,
    hamming_distances,
    retrieval_precision,
)
from gradus.research.autoencoders.hashing import HashingLoss
from gradus.research.autoencoders.outputs import GaussianOutput
from gradus.research.autoencoders.stochastic import CodeNoise

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.images, DIGITS.target
FEW = IMAGES[:80]
QUICK = {"n_components": 6, "max_epochs": 2, "batch_size": 32, "random_state": 0}

MODELS = [
    Autoencoder(**QUICK, hidden=(12,)),
    Autoencoder(**QUICK, network="conv", channels=(4, 6), tied=True),
    SparseAutoencoder(**QUICK, penalty="kl"),
    SparseAutoencoder(**QUICK, penalty="k_sparse", k=2),
    DenoisingAutoencoder(**QUICK, noise="salt_and_pepper", output="bernoulli"),
    ContractiveAutoencoder(**QUICK, hidden=(8,), curvature=0.1),
    StochasticAutoencoder(**QUICK, network="conv", channels=(4,), variance="row"),
    StochasticAutoencoder(**QUICK, code="bernoulli"),
    PredictiveSparseDecomposition(**QUICK),
    SemanticHashing(**QUICK),
]
every = pytest.mark.parametrize("model", MODELS, ids=[f"{type(m).__name__}-{i}" for i, m in enumerate(MODELS)])


def answers(model, X):
    return [model.transform(X), model.reconstruct(X), model.reconstruction_errors(X)]


@every
def test_pictures_in_and_pictures_out(model):
    fitted = clone(model).fit(FEW)
    codes = fitted.transform(FEW)
    assert codes.shape == (80, 6)
    assert fitted.reconstruct(FEW).shape == fitted.inverse_transform(codes).shape == FEW.shape
    assert np.allclose(fitted.inverse_transform(codes), fitted.reconstruct(FEW), atol=1e-4)
    back = fitted.reconstruct(FEW) / 16 - FEW / 16
    assert np.allclose(fitted.reconstruction_errors(FEW), np.square(back).reshape(80, -1).mean(1), rtol=1e-4)
    assert fitted.score(FEW) == pytest.approx(-fitted.reconstruction_errors(FEW).mean())
    assert np.allclose(fitted.vector_field(FEW), fitted.reconstruct(FEW) - FEW, atol=1e-4)
    assert fitted.get_feature_names_out()[0] == f"{type(model).__name__.lower()}0"
    with_channels = clone(model).fit(FEW[..., None])
    assert with_channels.reconstruct(FEW[..., None]).shape == (80, 8, 8, 1)
    with pytest.raises(InputError, match="codes of shape"):
        fitted.inverse_transform(codes[:, :3])


@every
def test_a_saved_model_answers_as_before(model, tmp_path):
    fitted = clone(model).fit(FEW)
    loaded = type(model).load(fitted.save(tmp_path / "model"))
    for one, other in zip(answers(fitted, FEW), answers(loaded, FEW), strict=True):
        assert np.array_equal(one, other)


@every
def test_settings_changed_after_the_fit_change_nothing(model):
    fitted = clone(model).fit(FEW)
    before = answers(fitted, FEW)
    fitted.set_params(n_components=3, scaling="none")
    if "output" in fitted.get_params():
        fitted.set_params(output="bernoulli" if fitted.output == "gaussian" else "gaussian")
    for one, other in zip(before, answers(fitted, FEW), strict=True):
        assert np.array_equal(one, other)


@every
def test_a_fit_that_was_stopped_goes_on_to_the_same_bits(model, tmp_path):
    whole = clone(model).set_params(n_threads=1).fit(FEW)
    settings = {"checkpoint": str(tmp_path), "checkpoint_every": 1, "n_threads": 1}
    part = clone(model).set_params(**settings, max_steps=4).fit(FEW)
    assert part.n_steps_ == 4 and not np.array_equal(part.transform(FEW), whole.transform(FEW))
    torch.manual_seed(9)  # another life, other global random numbers
    again = clone(model).set_params(**settings).fit(FEW)
    assert again.n_steps_ == whole.n_steps_ == 6
    for one, other in zip(answers(whole, FEW), answers(again, FEW), strict=True):
        assert np.array_equal(one, other)
    assert [r["loss"] for r in whole.history_] == [r["loss"] for r in again.history_]


@pytest.mark.parametrize("output", ["gaussian", "bernoulli"])
def test_an_autoencoder_learns_digits(output):
    model = Autoencoder(hidden=(64,), n_components=16, output=output, max_epochs=40, random_state=0).fit(IMAGES[:1200])
    spread = np.square(IMAGES[1200:] / 16 - IMAGES[:1200].mean(0) / 16).mean()
    assert -model.score(IMAGES[1200:]) < 0.25 * spread
    # rows of another kind are reconstructed badly: an anomaly score
    turned = np.rot90(IMAGES[1200:], axes=(1, 2))
    ranks = stats.mannwhitneyu(model.reconstruction_errors(turned), model.reconstruction_errors(IMAGES[1200:]))
    assert ranks.statistic / len(turned) ** 2 > 0.85


def test_a_pipeline_and_a_search_take_it():
    pipe = make_pipeline(Autoencoder(hidden=(32,), max_epochs=15, random_state=0), LogisticRegression(max_iter=2000))
    assert pipe.fit(IMAGES[:600], LABELS[:600]).score(IMAGES[600:900], LABELS[600:900]) > 0.8
    search = GridSearchCV(Autoencoder(max_epochs=10, random_state=0), {"n_components": [1, 12]}, cv=2)
    assert search.fit(IMAGES[:300]).best_params_ == {"n_components": 12}


def test_sparse_codes_are_sparse():
    settings = {"n_components": 60, "max_epochs": 60, "batch_size": 200, "learning_rate": 5e-3, "random_state": 0}
    aimed = SparseAutoencoder(**settings, penalty="kl", sparsity=2.0, rate=0.1).fit(IMAGES)
    assert abs(aimed.transform(IMAGES).mean() - 0.1) < 0.02
    free = SparseAutoencoder(**settings, penalty="kl", sparsity=0.0, rate=0.1).fit(IMAGES)
    assert free.transform(IMAGES).mean() > 0.2
    loose, tight = (SparseAutoencoder(**settings, penalty="l1", sparsity=s).fit(IMAGES) for s in (0.0, 0.5))
    assert (tight.transform(IMAGES) > 0).mean() < 0.5 * (loose.transform(IMAGES) > 0).mean()
    kept = SparseAutoencoder(**settings, penalty="k_sparse", k=5).fit(IMAGES)
    assert set((kept.transform(IMAGES) != 0).sum(1)) == {5}


def test_a_denoiser_takes_noise_away():
    settings = {"n_components": 200, "max_epochs": 60, "learning_rate": 3e-3, "random_state": 0}
    noisy = IMAGES[1200:] + 6 * np.random.default_rng(0).normal(size=IMAGES[1200:].shape)
    left = {}
    for level in (0.0, 6 / 16):
        model = DenoisingAutoencoder(**settings, noise="gaussian", noise_level=level).fit(IMAGES[:1200])
        left[level] = np.square(model.reconstruct(noisy) - IMAGES[1200:]).mean()
    assert left[6 / 16] < 0.4 * 36 and left[6 / 16] < 0.8 * left[0.0]


# -- stochastic -----------------------------------------------------------------------------------------------------


def test_codes_are_drawn_around_what_the_encoder_says():
    draws = torch.Generator().manual_seed(0)
    drawn = CodeNoise("gaussian", 0.4)(torch.full((10_000, 1), 2.0), draws).numpy().ravel()
    assert stats.kstest(drawn, stats.norm(2.0, 0.4).cdf).pvalue > 1e-5
    assert stats.kstest(drawn, stats.norm(2.0, 0.44).cdf).pvalue < 1e-5
    shares = torch.full((10_000, 1), 0.3, requires_grad=True)
    bits = CodeNoise("bernoulli")(shares, draws)
    assert set(bits.detach().round(decimals=6).unique().tolist()) == {0.0, 1.0}
    assert stats.binomtest(int(bits.sum().round()), 10_000, 0.3).pvalue > 1e-5
    bits.sum().backward()
    assert torch.equal(shares.grad, torch.ones_like(shares))  # straight through


def test_the_likelihood_of_a_reconstruction_is_in_the_units_of_the_rows():
    X = np.random.default_rng(0).normal(size=(300, 4)) @ np.random.default_rng(1).normal(size=(4, 4))
    settings = {"n_components": 3, "hidden": (), "code_noise": 0.0, "max_epochs": 5, "random_state": 0}
    plain, tens = (StochasticAutoencoder(**settings).fit(rows) for rows in (X, 10 * X))
    found = plain.reconstruction_log_likelihood(X, 1)
    moved = tens.reconstruction_log_likelihood(10 * X, 1)
    assert np.allclose(moved, found - 4 * np.log(10), atol=1e-3)
    network = plain.network_
    with torch.no_grad():
        parameters = network(torch.tensor(X, dtype=torch.float32)).double().numpy()
    scale = np.log1p(np.exp(parameters[:, 4:])) + 1e-3
    mean = parameters[:, :4] * plain.input_scale_ + plain.input_shift_
    expected = stats.norm(mean, scale * plain.input_scale_).logpdf(X).sum(1)
    assert np.allclose(found, expected, atol=1e-3)


def test_a_bernoulli_likelihood_is_never_quoted_on_grey_pixels():
    bits = (FEW > 7) * 16.0
    model = StochasticAutoencoder(**QUICK, output="bernoulli").fit(bits)
    found = model.reconstruction_log_likelihood(bits, random_state=0)
    assert found.shape == (80,) and (found < 0).all()
    with pytest.raises(InputError, match="where the output is Bernoulli"):
        model.reconstruction_log_likelihood(FEW)
    table = np.random.default_rng(0).choice([0.1, 0.7], (50, 3))  # the ends of a range need not be 0 and 1
    assert np.isfinite(
        StochasticAutoencoder(**QUICK, output="bernoulli").fit(table).reconstruction_log_likelihood(table)
    ).all()


def test_a_learned_variance_is_that_of_what_is_left():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(600, 1)), 3, axis=1) + rng.normal(size=(600, 3)) * [0.1, 0.5, 1.0]
    training = {"max_epochs": 400, "batch_size": 600, "learning_rate": 0.02, "schedule": "cosine", "random_state": 0}
    model = StochasticAutoencoder(n_components=1, hidden=(), code_noise=0.3, **training).fit(X)
    network = model.network_
    with torch.no_grad():
        rows = network.prepare(torch.tensor(X, dtype=torch.float32)).repeat(50, 1)
        drawn = CodeNoise("gaussian", 0.3)(network.encoder(rows), torch.Generator().manual_seed(0))
        left = (network.decode(drawn)[:, :3] - rows).square().mean(0).sqrt().numpy()
        learned = torch.nn.functional.softplus(network.decoder.scale).numpy() + 1e-3
    assert np.allclose(learned, left, rtol=0.04)
    assert not np.allclose(learned**2, left, rtol=0.2)


def test_a_walk_stays_near_the_rows_and_repeats_under_a_seed():
    model = StochasticAutoencoder(n_components=10, max_epochs=40, learning_rate=3e-3, random_state=0)
    model.fit(IMAGES)
    first, again, other = (model.walk(IMAGES[:30], random_state=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert not np.array_equal(model.walk(IMAGES[:30], 2, random_state=0), first)
    nearest = [np.square(IMAGES - picture).mean((1, 2)).min() for picture in first]
    noise = np.random.default_rng(0).permuted(IMAGES[:30].reshape(30, -1), axis=1).reshape(30, 8, 8)
    far = [np.square(IMAGES - picture).mean((1, 2)).min() for picture in noise]
    assert np.mean(nearest) < 0.5 * np.mean(far)
    with pytest.raises(InputError, match="n_steps"):
        model.walk(IMAGES[:2], 0)


# -- hashing --------------------------------------------------------------------------------------------------------


def test_noise_makes_bits_of_codes_and_like_digits_neighbours():
    training = {"n_components": 24, "max_epochs": 40, "learning_rate": 2e-3, "random_state": 0}
    sure = {}
    for noise in (0.0, 3.0):
        model = SemanticHashing(**training, code_noise=noise).fit(IMAGES[:1200])
        with torch.no_grad():
            rows = model.network_.prepare(torch.tensor(IMAGES[1200:].reshape(-1, 64), dtype=torch.float32))
            sure[noise] = float(model.network_.encoder.logits(rows).sigmoid().sub(0.5).abs().mul(2).mean())
    assert sure[3.0] > 0.9 > 0.8 > sure[0.0]
    codes = model.transform(IMAGES[1200:])
    assert set(np.unique(codes)) == {0.0, 1.0}
    # the bits are those that the decoder reads: turned round, they stand for other digits
    apart = [np.square(model.inverse_transform(bits) - IMAGES[1200:]).mean() for bits in (codes, 1 - codes)]
    assert apart[0] < 0.75 * np.square(IMAGES[:1200].mean(0) - IMAGES[1200:]).mean() < apart[1]
    found = model.index(IMAGES[:1200]).nearest(codes, 10)
    precision = retrieval_precision(found, LABELS[1200:], LABELS[:1200]).mean()
    assert precision > 0.7
    shuffled = np.random.default_rng(0).permutation(LABELS[:1200])
    assert retrieval_precision(found, LABELS[1200:], shuffled).mean() < 0.15


def test_the_loss_of_hashing_draws_its_noise_before_the_sigmoid():
    model = SemanticHashing(**QUICK, output="gaussian").fit(FEW)
    batch = {"inputs": torch.tensor(FEW.reshape(80, -1), dtype=torch.float32)}
    network = model.network_
    with torch.no_grad():
        still = HashingLoss(GaussianOutput(), 0.0)(network, batch, torch.Generator())
        rows = network.prepare(batch["inputs"])
        codes = network.encoder.logits(rows).sigmoid()
        expected = 0.5 * (network.decode(codes) - rows).square().sum()
        assert torch.allclose(still.total, expected)
        loud = HashingLoss(GaussianOutput(), 1e6)(network, batch, torch.Generator().manual_seed(0))
        coins = (torch.randn(codes.shape, generator=torch.Generator().manual_seed(0)) > 0).float()
        assert torch.allclose(loud.total, 0.5 * (network.decode(coins) - rows).square().sum(), rtol=1e-4)


@pytest.mark.parametrize("bits", [5, 8, 17])
def test_hamming_search_is_the_search_of_all_pairs(bits):
    rng = np.random.default_rng(0)
    codes, queries = rng.integers(0, 2, (200, bits)), rng.integers(0, 2, (9, bits))
    distances = (queries[:, None] != codes[None]).sum(2)
    assert np.array_equal(hamming_distances(queries, codes), distances)
    index = HammingIndex(codes)
    found = index.nearest(queries, 7)
    order = np.argsort(distances, axis=1, kind="stable")[:, :7]
    assert np.array_equal(found.rows, order)
    assert np.array_equal(found.distances, np.take_along_axis(distances, order, 1))
    for radius in (0, 1, 2):
        for rows, row in zip(index.within(queries, radius), distances, strict=True):
            assert np.array_equal(rows, np.flatnonzero(row <= radius))


def test_wrong_codes_are_refused():
    with pytest.raises(InputError, match="zeros and ones"):
        HammingIndex([[0, 2]])
    index = HammingIndex([[0, 1]])
    with pytest.raises(InputError, match="codes of 2 bits"):
        index.nearest([[0, 1, 1]], 1)
    with pytest.raises(InputError, match="from 1 to 1"):
        index.nearest([[0, 1]], 2)


# -- what is refused ------------------------------------------------------------------------------------------------


def test_settings_that_contradict_each_other_are_refused():
    table = IMAGES[:40].reshape(40, -1)
    with pytest.raises(SettingError, match="pictures for network='conv'"):
        Autoencoder(**QUICK, network="conv").fit(table)
    with pytest.raises(InputError, match="between 0 and 1"):
        Autoencoder(**QUICK, output="bernoulli", scaling="none").fit(table)
    with pytest.raises(SettingError, match="noise level"):
        DenoisingAutoencoder(**QUICK, noise="masking", noise_level=1.5).fit(table)
    with pytest.raises(SettingError, match="sigmoid"):
        SparseAutoencoder(**QUICK, penalty="kl", code_activation="relu").fit(table)
    with pytest.raises(SettingError, match="accumulate=1"):
        SparseAutoencoder(**QUICK, penalty="kl", accumulate=2).fit(table)
    masked = DenoisingAutoencoder(**QUICK, noise="masking").fit(table)
    with pytest.raises(SettingError, match="gaussian noise"):
        masked.log_density_gradient(table)
    with pytest.raises(InputError, match="n_tangents from 1 to 6"):
        masked.tangents(table, 7)
    with pytest.raises(InputError, match="rows of shape"):
        Autoencoder(**QUICK).fit(FEW).transform(np.zeros((2, 4, 16)))


@pytest.mark.parametrize(
    "settings",
    [
        *({"code_activation": name} for name in ("sigmoid", "relu", "softplus", "identity", "gelu", "elu")),
        {"code_activation": "gelu", "contraction": 0.0},
        {"hidden": (5,)},
        {"network": "conv"},
        {"curvature": 0.5},
    ],
    ids=str,
)
def test_weights_of_rows_are_refused_where_the_penalty_is_drawn(settings):
    weights = np.arange(1.0, len(FEW) + 1)
    model = ContractiveAutoencoder(**{**QUICK, "max_epochs": 0}, **settings).fit(FEW)
    batch = model._encode(FEW, reset=False)
    totals = [
        model._loss(model.network_)(model.network_, batch, torch.Generator().manual_seed(seed)).total.item()
        for seed in (0, 1)
    ]
    if totals[0] == totals[1]:  # nothing drawn: a weight is a repetition
        model.fit(FEW, sample_weight=weights)
    else:
        with pytest.raises(InputError, match="no sample_weight where the penalty is drawn"):
            model.fit(FEW, sample_weight=weights)


# -- what there is to see -------------------------------------------------------------------------------------------


def test_exhibits_show_what_was_learned():
    model = Autoencoder(n_components=2, max_epochs=2, random_state=0).fit(IMAGES[:200])
    shown = {e.title: e for e in model.exhibits((IMAGES[:200], LABELS[:200]))}
    assert list(shown) == ["Learning curves", "Filters", "Reconstructions", "Latent map", "Manifold"]
    assert len(shown["Filters"].pictures) == 64 and len(shown["Reconstructions"].pictures) == 24
    points = shown["Latent map"].figure["data"]
    assert [t["name"] for t in points] == list("0123456789") and sum(len(t["x"]) for t in points) == 200
    codes = model.transform(IMAGES[:200])
    assert np.allclose(points[3]["x"], codes[LABELS[:200] == 3, 0], atol=1e-4)
    sheet = Image.open(BytesIO(shown["Manifold"].pictures[0].png))
    assert sheet.size == (15 * 8, 15 * 8)
    # the first code grows to the right, the second upwards
    low, high = np.quantile(codes, [0.02, 0.98], axis=0)
    for corner, code in (((0, 0), [low[0], high[1]]), ((14, 0), high), ((0, 14), low)):
        left, top = 8 * corner[0], 8 * corner[1]
        tile = np.asarray(sheet.crop((left, top, left + 8, top + 8)), dtype=float) / 255
        assert np.abs(tile - np.clip(model.inverse_transform([code])[0] / 16, 0, 1)).max() < 0.01
    plain = {e.title for e in model.exhibits(IMAGES[:200])}
    assert plain == set(shown)


def test_the_vector_field_points_towards_a_curve():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, np.pi, 1000)
    X = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.03 * rng.normal(size=(1000, 2))
    training = {"hidden": (64,), "code_activation": "relu", "max_epochs": 150, "learning_rate": 3e-3, "random_state": 0}
    model = DenoisingAutoencoder(**training, n_components=64, noise_level=0.15, scaling="none").fit(X)
    off = np.stack([np.cos(angle[:300]), np.sin(angle[:300])], 1) * rng.choice([0.85, 1.15], (300, 1))
    before, after = (np.abs(np.linalg.norm(p, axis=1) - 1).mean() for p in (off, off + model.vector_field(off)))
    assert after < 0.5 * before
    titles = [e.title for e in model.exhibits(X)]
    assert titles == ["Learning curves", "Latent map", "Vector field"]
    lines = next(e for e in model.exhibits(X) if e.title == "Vector field").figure["data"][1]
    assert len(lines["x"]) == 15 * 15 * 3
