import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.networks.convolutional import PatchFeatures, RandomFilters, features, learn_patches


def photographs(n=40, channels=2, size=14, seed=0):
    """Smooth random images: neighbours agree, as in photographs."""
    noise = np.random.default_rng(seed).normal(size=(n, channels, size, size))
    return torch.tensor(noise.cumsum(2).cumsum(3), dtype=torch.float32)


def learned(**settings):
    return learn_patches(photographs(), 12, 4, generator(0), **{"patches": 2000, **settings})


def test_a_patch_is_normalized_whitened_and_compared_with_every_word():
    module = learned()
    patches = photographs(seed=1).unfold(2, 4, 4).unfold(3, 4, 4)[:, :, 0, 0].flatten(1)
    assert patches.shape == (40, 32)
    x = patches.double().numpy()
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + module.contrast.item())
    x = (x - module.mean.numpy()) @ module.whitening.double().numpy()
    z = cdist(x, module.centroids.numpy())
    code = module.encode(patches)
    np.testing.assert_allclose(code.numpy(), np.maximum(0, z.mean(1, keepdims=True) - z), atol=2e-4)
    assert 0.2 < (code == 0).float().mean().item() < 0.8  # about half of the words are farther than their mean


def test_whitened_patches_have_the_covariance_that_is_left_after_the_floor():
    images = photographs(400, 1)
    module = learn_patches(images, 4, 4, generator(0), patches=20_000, whitening=0.05)
    cut = features._cut(images, 20_000, 4, generator(9)).double()
    x = cut - cut.mean(1, keepdim=True)
    x = x / (cut.var(1, correction=0, keepdim=True) + module.contrast).sqrt()
    values = torch.linalg.eigvalsh(x.T.cov(correction=0))
    white = torch.linalg.eigvalsh(((x - module.mean) @ module.whitening.double()).T.cov(correction=0))
    torch.testing.assert_close(white, values / (values + 0.05), atol=0.02, rtol=0.05)
    torch.testing.assert_close(module.whitening, module.whitening.T, atol=1e-5, rtol=0)


def test_planted_patches_become_the_words():
    source = generator(3)
    planted = torch.randn(5, 1, 6, 6, generator=source)
    images = planted.repeat(60, 1, 1, 1) * (1 + torch.rand(300, 1, 1, 1, generator=source))  # any contrast
    images = images + 10 * torch.randn(300, 1, 1, 1, generator=source)  # any brightness
    module = learn_patches(images, 5, 6, generator(0), patches=600, contrast=0.0)
    codes = module.encode(planted.flatten(1))
    assert sorted(codes.argmax(1).tolist()) == [0, 1, 2, 3, 4]
    x = features._normalized(planted.flatten(1), torch.tensor(0.0))
    words = (x - module.mean) @ module.whitening
    torch.testing.assert_close(torch.cdist(words, module.centroids).amin(1), torch.zeros(5), atol=2e-2, rtol=0)


@pytest.mark.parametrize(("stride", "pooling"), [(1, 2), (2, 1), (3, 3)])
def test_features_are_codes_averaged_over_cells(stride, pooling):
    module = learned(stride=stride, pooling=pooling)
    image = photographs(1, seed=5)
    side = (14 - 4) // stride + 1
    codes = torch.stack([
        module.encode(image[:, :, i * stride : i * stride + 4, j * stride : j * stride + 4].reshape(1, -1))[0]
        for i in range(side) for j in range(side)
    ]).view(side, side, 12)  # fmt: skip
    # a cell reaches from the floor of its beginning to the ceiling of its end
    edges = [(side * c // pooling, -(-side * (c + 1) // pooling)) for c in range(pooling)]
    expected = torch.cat([codes[a:b, c:d].mean((0, 1)) for a, b in edges for c, d in edges])
    out = module(image)
    assert out.shape == (1, module.out_features) == (1, 12 * pooling**2)
    torch.testing.assert_close(out[0], expected, atol=1e-5, rtol=1e-4)


def test_the_scale_of_pixels_is_of_no_account():
    images = photographs()
    bright = learn_patches(255 * images, 12, 4, generator(0), patches=2000)
    torch.testing.assert_close(bright(255 * images), learned()(images), atol=1e-3, rtol=1e-3)


def test_images_a_few_at_a_time_give_the_same(monkeypatch):
    module, images = learned(), photographs(10)
    whole = module(images)
    monkeypatch.setattr(features, "_CHUNK_BYTES", 3 * 11 * 11 * 12 * 4)
    torch.testing.assert_close(module(images), whole)


def test_it_is_a_function_of_the_generator_and_has_buffers_only():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 the global state is what is watched
    first, second = learned(), learned()
    assert torch.equal(first.centroids, second.centroids)
    other = learn_patches(photographs(), 12, 4, generator(1), patches=2000)
    assert not torch.equal(first.centroids, other.centroids)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert not list(first.parameters())
    blank = PatchFeatures(torch.zeros(12, 32), torch.zeros(32), torch.zeros(32, 32), size=4, contrast=0.0)
    blank.load_state_dict(first.state_dict())
    images = photographs(3, seed=7)
    assert torch.equal(blank(images), first(images))


def test_random_filters_are_centred_of_norm_one_and_frozen():
    module = RandomFilters(3, 20, 5, generator(0))
    flat = module.weight.flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(20), atol=1e-6, rtol=0)
    torch.testing.assert_close(flat.norm(dim=1), torch.ones(20))
    assert not list(module.parameters()) and "weight" in module.state_dict()
    assert torch.equal(module.weight, RandomFilters(3, 20, 5, generator(0)).weight)
    x = torch.randn(2, 3, 13, 13)
    torch.testing.assert_close(module(x), module(-x))  # either polarity
    torch.testing.assert_close(module(x), module(x + 7.0), atol=1e-4, rtol=1e-4)  # any brightness
    one = RandomFilters(1, 1, 2, generator(1), pooling=1)
    x = torch.randn(1, 1, 3, 3)
    w = one.weight[0, 0]
    expected = torch.stack([(x[0, 0, i : i + 2, j : j + 2] * w).sum().abs() for i in (0, 1) for j in (0, 1)]).mean()
    torch.testing.assert_close(one(x)[0, 0], expected)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: learn_patches(torch.rand(5, 1, 3, 3), 4, 4, generator(0)), InputError, "4 or more along every axis"),
        (lambda: learn_patches(torch.ones(5, 1, 8, 8), 4, 4, generator(0)), InputError, "constant"),
        (lambda: learn_patches(torch.full((5, 1, 8, 8), torch.nan), 4, 4, generator(0)), InputError, "missing pixels"),
        (lambda: learn_patches(torch.rand(5, 1, 8, 8), 90, 4, generator(0), patches=50), SettingError, "90 patches"),
        (
            lambda: learn_patches(torch.rand(1, 1, 4, 4), 4, 4, generator(0), patches=99),
            InputError,
            "different patches",
        ),
        (lambda: learn_patches(torch.rand(5, 1, 8, 8), 4, 4, generator(0), whitening=0.0), SettingError, "above 0"),
        (lambda: learned()(torch.rand(1, 1, 8, 8)), InputError, r"\(n, 2, height, width\)"),
        (lambda: RandomFilters(1, 4, 1, generator(0)), SettingError, "2 numbers or more"),
        (lambda: RandomFilters(1, 4, 5, generator(0))(torch.zeros(1, 1, 4, 9)), InputError, "5 or more"),
        (
            lambda: PatchFeatures(torch.zeros(3, 10), torch.zeros(10), torch.zeros(10, 10), size=3, contrast=0.0),
            InputError,
            "one kind of patch",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.slow
@pytest.mark.data
def test_without_labels_patches_beat_random_filters_and_both_beat_pixels(data_home):
    with np.load(data_home / "vision" / "fashion_mnist.npz", allow_pickle=False) as file:
        parts = {part: (file[f"x_{part}"][:2000], file[f"y_{part}"][:2000]) for part in ("train", "test")}
    train, test = (torch.from_numpy(parts[part][0]).float().unsqueeze(1) / 255 for part in parts)
    scores = {}
    for name, encode in {
        "pixels": lambda images: images.flatten(1),
        "random": RandomFilters(1, 200, 5, generator(0), pooling=3),
        "patches": learn_patches(train, 200, 5, generator(0), pooling=3),
    }.items():
        classify = make_pipeline(StandardScaler(), RidgeClassifier(alpha=300.0))
        classify.fit(encode(train).numpy(), parts["train"][1])
        scores[name] = classify.score(encode(test).numpy(), parts["test"][1])
    # One standard error of a score is 0.007 to 0.009, of a difference on the same images less.
    assert 0.78 < scores["pixels"] < 0.83
    assert scores["random"] > scores["pixels"] + 0.02
    assert scores["patches"] > scores["random"] + 0.02
