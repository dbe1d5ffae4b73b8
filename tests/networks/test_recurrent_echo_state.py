import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeCV

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import isolated
from gradus.networks.recurrent import EchoStateNetwork, spectral_radius


@pytest.mark.parametrize("radius", [0.3, 0.95, 1.4])
@pytest.mark.parametrize("density", [0.05, 1.0])
def test_the_spectral_radius_is_exact_and_the_connections_sparse(radius, density):
    network = EchoStateNetwork(1, 1, 200, spectral_radius=radius, density=density)
    W = network.recurrent_weight.numpy()
    assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(radius, rel=1e-9)
    assert spectral_radius(network.recurrent_weight) == pytest.approx(radius, rel=1e-9)
    # 40,000 connections: five standard deviations of their share are below 0.013.
    assert (W != 0).mean() == pytest.approx(density, abs=0.013)
    assert abs(W[W != 0].mean()) < 0.1 * np.abs(W).max()


def test_weights_lie_within_their_scales():
    network = EchoStateNetwork(2, 1, 500, input_scale=0.3, bias_scale=0.2)
    for weights, scale in ((network.input_weight, 0.3), (network.bias, 0.2)):
        assert 0.97 * scale < weights.abs().max() <= scale
        assert weights.min() < -0.9 * scale
    assert EchoStateNetwork(2, 1, 5, spectral_radius=0.0).recurrent_weight.abs().max() == 0


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_two_beginnings_converge_where_echoes_fade_and_not_where_they_do_not(alpha):
    with isolated(1):
        x = torch.randn(1, 300, 1, dtype=torch.float64) * 0.1
        apart = {}
        for radius in (0.8, 1.6):
            network = EchoStateNetwork(1, 1, 100, spectral_radius=radius, alpha=alpha, input_scale=0.1)
            one, _ = network.reservoir(x, state=torch.rand(1, 100, dtype=torch.float64))
            other, _ = network.reservoir(x, state=-torch.rand(1, 100, dtype=torch.float64))
            apart[radius] = float((one[:, -1] - other[:, -1]).norm())
    assert apart[0.8] < 1e-9 and apart[1.6] > 1e-2


def test_units_leak_at_the_rate_alpha():
    network = EchoStateNetwork(1, 1, 3, spectral_radius=0.0, alpha=0.9)
    begin = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    states, last = network.reservoir(torch.zeros(1, 4, 1), state=begin)
    powers = 0.9 ** torch.arange(1, 5, dtype=torch.float64)
    torch.testing.assert_close(states[0], powers[:, None] * begin)
    assert torch.equal(last, states[:, -1])


def test_the_reservoir_is_its_equation_step_by_step():
    network = EchoStateNetwork(2, 1, 8, alpha=0.3, bias_scale=0.5, density=0.5)
    W, U, b = (t.numpy() for t in (network.input_weight, network.recurrent_weight, network.bias))
    x = np.random.default_rng(0).normal(size=(6, 2))
    h, wanted = np.zeros(8), []
    for row in x:
        h = 0.3 * h + 0.7 * np.tanh(W @ row + U @ h + b)
        wanted.append(h)
    np.testing.assert_allclose(network.reservoir(torch.tensor(x)[None])[0][0], wanted, atol=1e-12)


@pytest.mark.parametrize("ridge", [1e-6, 0.5, 0.0])
def test_the_read_out_is_scikit_learns_ridge_on_the_states(ridge):
    network = EchoStateNetwork(2, 3, 40)
    x, y = torch.randn(2, 80, 2, dtype=torch.float64), torch.randn(2, 80, 3, dtype=torch.float64)
    lengths = torch.tensor([80, 50])
    network.fit_readout(x, y, lengths, washout=20, ridge=ridge)
    states, _ = network.reservoir(x)
    design = torch.cat([x, states], 2)
    rows = torch.cat([design[0, 20:80], design[1, 20:50]]).numpy()
    oracle = Ridge(alpha=ridge, solver="svd").fit(rows, torch.cat([y[0, 20:80], y[1, 20:50]]).numpy())
    np.testing.assert_allclose(network.readout, oracle.coef_, atol=1e-6)
    np.testing.assert_allclose(network.offset, oracle.intercept_, atol=1e-6)
    np.testing.assert_allclose(network(x)[0][1], oracle.predict(design[1].numpy()), atol=1e-6)


def test_padding_is_not_read():
    network = EchoStateNetwork(1, 1, 20)
    x = torch.randn(2, 9, 1, dtype=torch.float64)
    x[1, 5:] = torch.nan
    states, last = network.reservoir(x, torch.tensor([9, 5]))
    alone, end = network.reservoir(x[1:, :5])
    torch.testing.assert_close(states[1, :5], alone[0])
    torch.testing.assert_close(last[1], end[0])


def fitted():
    with isolated(2):
        wave = torch.sin(0.3 * torch.arange(400, dtype=torch.float64))[None, :, None]
        return EchoStateNetwork(1, 1, 60).fit_readout(wave[:, :-1], wave[:, 1:], washout=50), wave


def test_streaming_is_the_whole_and_free_running_is_the_loop():
    network, wave = fitted()
    answers, last = network(wave[:, :300])
    state, parts = None, []
    for chunk in wave[:, :300].split(70, dim=1):
        part, state = network(chunk, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), answers)
    torch.testing.assert_close(state, last)
    ahead = network.generate(answers[:, -1], last, 60)
    given, state = answers[:, -1:], last
    for t in range(60):
        given, state = network(given, state)
        torch.testing.assert_close(ahead[:, t : t + 1], given)
    assert (ahead - wave[:, 301:361]).abs().max() < 1e-2  # one answer is 300, and runs on from there


def test_it_is_saved_and_loaded_with_its_read_out():
    network, wave = fitted()
    other = EchoStateNetwork(1, 1, 60)
    with pytest.raises(InputError, match="fit_readout"):
        other(wave)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(wave)[0], network(wave)[0])
    assert list(network.parameters()) == []


def test_single_precision_follows_its_setting():
    network = EchoStateNetwork(1, 1, 30, dtype=torch.float32)
    x = torch.randn(1, 200, 1)
    assert network.fit_readout(x, x.roll(1, 1), washout=10)(x)[0].dtype == torch.float32
    assert spectral_radius(network.recurrent_weight) == pytest.approx(0.95, rel=1e-5)


def narma(steps):
    """The tenth-order system of Atiya and Parlos (2000), driven by uniform noise."""
    u = np.random.default_rng(0).uniform(0, 0.5, steps)
    y = np.zeros(steps)
    for t in range(9, steps - 1):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    return u, y


def test_it_follows_a_nonlinear_system_better_than_ridge_on_lagged_inputs():
    u, y = narma(3001)
    with isolated(0):
        network = EchoStateNetwork(1, 1, 300, input_scale=0.1, bias_scale=0.2)
    x, target = torch.tensor(4 * u[:-1] - 1)[None, :, None], torch.tensor(y[1:])[None, :, None]
    network.fit_readout(x[:, :2000], target[:, :2000], washout=200)
    answers = network(x)[0][0, 2000:, 0].numpy()
    lagged = np.stack([np.roll(u[:-1], k) for k in range(30)], 1)
    linear = RidgeCV(np.logspace(-6, 2, 9)).fit(lagged[200:2000], y[201:2001]).predict(lagged[2000:])
    error = {
        name: np.sqrt(((p - y[2001:]) ** 2).mean()) / y[2001:].std() for name, p in (("e", answers), ("l", linear))
    }
    assert error["e"] < 0.25 and error["e"] < 0.6 * error["l"]


def mackey_glass(steps, delay=17, dt=0.1):
    """The chaotic series, integrated by fourth-order Runge-Kutta and sampled once a unit of time."""
    lag, inner = round(delay / dt), round(1 / dt)
    x = np.full(lag + steps * inner + 1, 1.2)

    def slope(value, delayed):
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * value

    for t in range(lag, len(x) - 1):
        old, new = x[t - lag], x[t - lag + 1]
        middle = (old + new) / 2
        a = slope(x[t], old)
        b = slope(x[t] + dt / 2 * a, middle)
        c = slope(x[t] + dt / 2 * b, middle)
        x[t + 1] = x[t] + dt / 6 * (a + 2 * b + 2 * c + slope(x[t] + dt * c, new))
    return x[lag::inner][:steps]


def test_it_continues_a_chaotic_series_freely():
    series = mackey_glass(2600)
    x = torch.tensor(series - 1)[None, :, None]
    with isolated(0):
        network = EchoStateNetwork(1, 1, 400, spectral_radius=1.1, alpha=0.4, input_scale=1.0, bias_scale=0.2)
    network.fit_readout(x[:, :1999], x[:, 1:2000], washout=200, ridge=1e-9)
    answers, state = network(x[:, :2000])
    ahead = network.generate(answers[:, -1], state, 84)
    true = x[0, 2001:2085, 0]
    error = ahead[0, :, 0] - true
    assert float(error.square().mean().sqrt() / x[0, :2000].std()) < 0.05


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 0}, "width"),
        ({"spectral_radius": -0.1}, "scales of 0 or more"),
        ({"spectral_radius": float("nan")}, "scales of 0 or more"),
        ({"input_scale": -1.0}, "scales of 0 or more"),
        ({"alpha": 1.0}, "alpha"),
        ({"density": 0.0}, "density"),
        ({"width": 3, "density": 0.01}, "circulate"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        EchoStateNetwork(1, 1, **settings)


def test_wrong_inputs_are_refused():
    network, x = EchoStateNetwork(1, 1, 10, density=1.0), torch.zeros(2, 30, 1)
    for settings in ({"washout": -1}, {"ridge": -1.0}):
        with pytest.raises(SettingError, match="washout and ridge"):
            network.fit_readout(x, x, **settings)
    with pytest.raises(InputError, match="longer than the washout of 30"):
        network.fit_readout(x, x, washout=30)
    with pytest.raises(InputError, match="longer than the washout of 20, got 20"):
        network.fit_readout(x, x, torch.tensor([20, 12]), washout=20)
    with pytest.raises(InputError, match="finite"):
        network.fit_readout(x, x + torch.nan, washout=0)
    with pytest.raises(InputError, match="a state of shape"):
        network.reservoir(x, state=torch.zeros(2, 9))
    network.fit_readout(x, x, washout=0)
    with pytest.raises(SettingError, match="1 step or more"):
        network.generate(x[:, 0], torch.zeros(2, 10), 0)
    with pytest.raises(SettingError, match="as many outputs as inputs"):
        EchoStateNetwork(1, 2, 10, density=1.0).generate(x[:, 0], torch.zeros(2, 10), 3)
