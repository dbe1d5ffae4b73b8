"""PixelCNN: sums over all pictures, what a pixel sees, bits and levels, samples, refusals."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from sklearn.datasets import load_digits

import gradus
from gradus.core.errors import InputError, SettingError
from gradus.estimators.persistence import load
from gradus.research.autoregressive import PixelCNN
from gradus.research.autoregressive.pixel_network import GroupedConvolution, PixelNetwork, RowsAbove

SMALLEST = 1e-5
QUICK = {"features": 8, "depth": 2, "first": 5, "max_epochs": 1, "learning_rate": 0.01, "random_state": 0}


def strong(*shape, seed=0, **settings):
    """A network in double precision whose pixels depend on each other strongly."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PixelNetwork(shape, **{"features": 9, "depth": 2, "first": 3, **settings}).double().eval()
        with torch.no_grad():
            network.last.weight.normal_()
            for weight in network.parameters():
                weight.mul_(2.0)
    return network


def every(values, columns):
    axis = torch.arange(float(values), dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * columns)


@torch.no_grad()
def test_probabilities_of_all_pictures_of_16_bits_sum_to_one():
    network = strong(4, 4, 1, features=6)
    total = sum(network.log_prob(part).exp().sum().item() for part in every(2, 16).split(1 << 13))
    assert total == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "levels"), [((2, 3, 1), 3), ((2, 2, 2), 2), ((1, 2, 3), 3), ((5, 1, 1), 4), ((1, 1, 1), 7)], ids=str
)
@torch.no_grad()
def test_probabilities_of_levels_and_channels_sum_to_one(shape, levels):
    rows = every(levels, int(np.prod(shape))).reshape(-1, int(np.prod(shape)))
    assert strong(*shape, levels=levels).log_prob(rows).exp().sum().item() == pytest.approx(1, abs=1e-7)


@torch.no_grad()
def test_the_sum_sees_a_pixel_that_looks_at_itself():
    network = strong(2, 3, 1)
    network.first_along.mask[:] = True
    assert abs(network.log_prob(every(2, 6)).exp().sum().item() - 1) > 0.01


@pytest.mark.parametrize(("shape", "levels"), [((5, 6, 1), 2), ((3, 4, 3), 2), ((3, 4, 3), 5), ((4, 4, 2), 3)], ids=str)
def test_values_depend_on_all_earlier_ones_and_on_nothing_else(shape, levels):
    network = strong(*shape, levels=levels, features=24, depth=4, first=5)
    size = int(np.prod(shape))
    points = torch.rand(3, 1, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    jacobians = [torch.autograd.functional.jacobian(lambda x: network(x)[0].pow(3).sum(-1), p)[:, 0] for p in points]
    moved = torch.stack(jacobians).abs().sum(0)
    assert moved.triu().max() == 0
    assert (moved.tril(-1) != 0).sum() == size * (size - 1) // 2  # no blind spot


def test_convolutions_see_what_they_say():
    maps = torch.zeros(1, 2, 5, 5, requires_grad=True)
    for strict, last in ((True, 1), (False, 2)):
        seen = torch.autograd.grad(RowsAbove(2, 1, 3, strict=strict)(maps)[0, 0, 2, 2], maps)[0][0].abs().sum(0) > 0
        assert seen.nonzero()[:, 0].unique().tolist() == [last - 1, last]
        assert seen.nonzero()[:, 1].unique().tolist() == [1, 2, 3]
    colours = torch.arange(2)
    for strict, own in ((True, [True, False]), (False, [True, True])):
        layer = GroupedConvolution(colours, colours, reach=2, strict=strict)
        seen = torch.autograd.grad(layer(maps)[0, 1, 3, 3], maps)[0][0] != 0
        assert seen[:, 3, 3].tolist() == own
        assert seen[:, 3, 1:3].all() and seen.sum() == 4 + sum(own)


@pytest.mark.parametrize(("shape", "levels"), [((2, 3, 1), 2), ((1, 3, 2), 2), ((2, 2, 1), 3)], ids=str)
@torch.no_grad()
def test_samples_fit_the_probabilities(shape, levels):
    size, n = int(np.prod(shape)), 20_000
    network = strong(*shape, levels=levels, seed=3)
    rows = every(levels, size)
    probabilities = network.log_prob(rows).exp().numpy()
    drawn = network.draw(n, torch.Generator().manual_seed(5)).numpy()
    powers = levels ** np.arange(size - 1, -1, -1)

    def fits(values):
        seen = np.bincount((values @ powers).astype(int), minlength=len(rows))
        kept = probabilities * n > 5
        seen, wanted = seen[kept], probabilities[kept] * n
        seen, wanted = np.append(seen, n - seen.sum() + 1), np.append(wanted, max(0.0, n - wanted.sum()) + 1)
        return chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue

    assert fits(drawn) > SMALLEST
    assert fits(drawn[:, ::-1]) < SMALLEST  # planted: the order of pixels turned round
    rng = np.random.default_rng(0)
    assert fits(np.stack([rng.permutation(column) for column in drawn.T], 1)) < SMALLEST  # planted: pixels apart


@pytest.mark.parametrize(("shape", "levels"), [((3, 8, 1), 2), ((2, 7, 2), 4)], ids=str)
@torch.no_grad()
def test_drawing_a_window_at_a_time_draws_what_whole_passes_draw(shape, levels):
    network, size = strong(*shape, levels=levels, depth=2), int(np.prod(shape))
    assert network.reach == 3 < shape[1]  # windows are narrower than pictures
    drawn = network.draw(50, torch.Generator().manual_seed(0))
    slow, source = torch.zeros(50, size, dtype=torch.float64), torch.Generator().manual_seed(0)
    for place in range(size):
        slow[:, place] = network._drawn(network(slow)[:, place], source)
    assert drawn.equal(slow)
    network.reach = 2  # planted: a window too narrow
    assert not network.draw(50, torch.Generator().manual_seed(0)).equal(slow)


def test_likelihood_of_levels_is_the_softmax_of_each_value():
    network = strong(3, 3, 2, levels=5)
    rows = torch.randint(5, (4, 18), generator=torch.Generator().manual_seed(0)).double()
    logs = torch.log_softmax(network(rows), -1)
    by_hand = [sum(logs[i, j, int(rows[i, j])] for j in range(18)) for i in range(4)]
    torch.testing.assert_close(network.log_prob(rows), torch.stack(by_hand))


@pytest.fixture(scope="module")
def digits():
    return load_digits().images


@pytest.mark.parametrize(
    "settings",
    [{"binarize": "threshold"}, {"binarize": "resample"}, {"levels": 17}, {"likelihood": "categorical", "levels": 20}],
    ids=str,
)
def test_answers(digits, tmp_path, settings):
    model = PixelCNN(**QUICK, **settings).fit(digits[:100], X_val=digits[100:120])
    bits = "binarize" in settings
    allowed = {0.0, 16.0} if bits else set(map(float, range(settings.get("levels", 0))))
    drawn = model.sample(4, random_state=0)
    assert drawn.shape == (4, 8, 8) and set(np.unique(drawn)) <= allowed
    rows = (digits[200:205] > 8) * 16.0 if bits else digits[200:205]
    scores = model.score_samples(rows)
    np.testing.assert_allclose(np.concatenate([model.score_samples(row[None]) for row in rows]), scores, rtol=1e-6)
    same = load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(same.score_samples(rows), scores)
    np.testing.assert_array_equal(same.sample(2, random_state=1), model.sample(2, random_state=1))
    titles = {e.title for e in model.exhibits(digits[:20])}
    assert {"Samples", "Filters", "Likelihoods", "Nearest rows"} <= titles
    assert model.network_.filters().shape == (8, 4, 5, 1)


def test_learning_beats_independent_pixels(digits):
    bits = (digits > 7).astype(float)
    model = PixelCNN(**{**QUICK, "features": 16, "max_epochs": 4}).fit(bits[:600])
    share = bits[:600].mean(0).clip(1e-3, 1 - 1e-3)
    independent = np.where(bits[1500:] > 0, np.log(share), np.log(1 - share)).sum((1, 2)).mean()
    assert model.score(bits[1500:]) > independent + 3


def test_bytes_with_colours():
    from sklearn.datasets import load_sample_image

    picture = load_sample_image("flower.jpg")[::8, ::8][:48, :72]
    patches = picture.reshape(6, 8, 9, 8, 3).swapaxes(1, 2).reshape(54, 8, 8, 3)
    model = PixelCNN(**{**QUICK, "features": 12, "max_epochs": 15, "batch_size": 9}).fit(patches)
    assert model.levels_ == 256 and model.likelihood == "auto"
    assert model.score(patches) > -192 * np.log(256) + 50
    assert model.sample(1, random_state=0).shape == (1, 8, 8, 3)


def test_a_stopped_training_goes_on_to_the_same_bits(digits, tmp_path):
    settings = {**QUICK, "max_epochs": 2, "binarize": "resample"}
    whole = PixelCNN(**settings).fit(digits[:200])
    folder = {"checkpoint": str(tmp_path / "c"), "checkpoint_every": 2}
    PixelCNN(**settings, max_steps=3, **folder).fit(digits[:200])
    resumed = PixelCNN(**settings, **folder).fit(digits[:200])
    for name, value in whole.network_.state_dict().items():
        assert value.equal(resumed.network_.state_dict()[name]), name


def test_weights_count_rows(digits):
    weights = np.arange(30) % 3
    twice = np.repeat(digits[:30], weights, axis=0)
    settings = {**QUICK, "levels": 17, "max_epochs": 3}
    one = PixelCNN(**settings).fit(digits[:30], sample_weight=weights)
    other = PixelCNN(**settings).fit(twice)
    np.testing.assert_allclose(one.score_samples(digits[:5]), other.score_samples(digits[:5]), rtol=1e-6)


def test_refusals(digits):
    with pytest.raises(InputError, match="0 or 16 where the likelihood is Bernoulli"):
        PixelCNN(**QUICK, likelihood="bernoulli").fit(digits)
    with pytest.raises(InputError, match="whole numbers from 0 to 255"):
        PixelCNN(**QUICK).fit(digits / 16)
    with pytest.raises(InputError, match="pictures"):
        PixelCNN(**QUICK).fit(digits.reshape(-1, 64))
    with pytest.raises(SettingError, match="pixels are made bits"):
        PixelCNN(**QUICK, likelihood="categorical", binarize="fixed").fit(digits)
    with pytest.raises(SettingError, match="odd width"):
        PixelCNN(**{**QUICK, "first": 4}).fit(digits)
    with pytest.raises(SettingError, match="as many features as channels"):
        PixelNetwork((4, 4, 3), features=2)
    model = PixelCNN(**QUICK, levels=17).fit(digits[:50])
    with pytest.raises(InputError, match="from 0 to 16"):
        model.score_samples(digits[:2] + 0.5)
    with pytest.raises(InputError, match="a model of bits"):
        model.binarized(digits[:2])


def test_package_finds_it_by_name():
    assert gradus.PixelCNN is PixelCNN
