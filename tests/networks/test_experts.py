import copy

import pytest
import torch
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.experts import FeedForward, MixtureOfExperts, Routing, load_balance, watch_routing


@pytest.mark.parametrize("bias", [True, False])
def test_feed_forward_networks_are_their_formulas(bias):
    x = torch.randn(2, 3, 6)
    for name, unit in {"gelu": F.gelu, "relu": F.relu}.items():
        layer = FeedForward(6, 10, name, bias)
        hidden = unit(x @ layer.up.weight.T + (layer.up.bias if bias else 0))
        torch.testing.assert_close(layer(x), hidden @ layer.down.weight.T + (layer.down.bias if bias else 0))
    layer = FeedForward(6, 10, "swiglu", bias)
    gate, value = (x @ layer.up.weight.T + (layer.up.bias if bias else 0)).split(10, -1)
    expected = (gate * gate.sigmoid() * value) @ layer.down.weight.T + (layer.down.bias if bias else 0)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("width", [48, 100, 128, 768])
def test_a_gated_network_costs_as_much_as_a_plain_one(width):
    gated, plain = FeedForward(width, None, "swiglu"), FeedForward(width)
    assert plain.hidden == 4 * width and gated.hidden % 8 == 0
    assert 0 <= gated.hidden - 8 * width / 3 < 8


def test_one_expert_is_the_dense_network():
    layer = MixtureOfExperts(6, 10, experts=1, active=1)
    x = torch.randn(2, 3, 6, requires_grad=True)
    same = x.detach().clone().requires_grad_()
    got, wanted = layer(x), layer.experts[0](same)
    torch.testing.assert_close(got, wanted)
    (got_grad,) = torch.autograd.grad(got.square().sum(), x)
    (wanted_grad,) = torch.autograd.grad(wanted.square().sum(), same)
    torch.testing.assert_close(got_grad, wanted_grad)


def test_all_experts_active_is_the_sum_weighted_by_the_router():
    layer = MixtureOfExperts(6, 10, experts=5, active=5, activation="swiglu")
    x = torch.randn(2, 3, 6)
    gates = layer.router.score(x).softmax(-1)
    expected = sum(gates[..., i : i + 1] * expert(x) for i, expert in enumerate(layer.experts))
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("active", [1, 2, 3])
def test_each_token_gets_its_most_probable_experts(active):
    layer = MixtureOfExperts(6, 10, experts=4, active=active)
    x = torch.randn(3, 5, 6)
    with watch_routing(layer) as seen:
        got = layer(x).reshape(-1, 6)
    assert seen[0].chosen.unique().numel() == 4
    for token, result in zip(x.reshape(-1, 6), got, strict=True):
        scores = layer.router.score(token).tolist()
        chosen = sorted(range(4), key=lambda i: -scores[i])[:active]
        everything = sum(2.718281828459045**s for s in scores)
        gates = [2.718281828459045 ** scores[i] / everything for i in chosen]
        if active > 1:
            gates = [gate / sum(gates) for gate in gates]
        expected = sum(gate * layer.experts[i](token) for gate, i in zip(gates, chosen, strict=True))
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)


def test_a_token_is_routed_by_itself():
    layer = MixtureOfExperts(6, 10, experts=4, active=2)
    x = torch.randn(5, 6, requires_grad=True)
    for row in range(5):
        (gradient,) = torch.autograd.grad(layer(x)[row].sum(), x)
        assert gradient[row].abs().max() > 0
        assert gradient[[i for i in range(5) if i != row]].abs().max() == 0
    # Nothing is dropped, even where every token wants the same expert.
    crowd = torch.randn(1, 6).expand(500, 6)
    torch.testing.assert_close(layer(crowd), layer(crowd[:1]).expand(500, 6))


@pytest.mark.parametrize("active", [1, 2])
def test_gradients_reach_router_and_experts(active):
    layer = MixtureOfExperts(3, 4, experts=3, active=active).double()
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    parameters = tuple(layer.parameters())
    assert torch.autograd.gradcheck(lambda *_: layer(x), (x, *parameters))
    layer(x).square().sum().backward()
    assert layer.router.score.weight.grad.abs().max() > 0
    layer.zero_grad()
    layer(x[:0]).sum().backward()  # experts without a token have gradients of zero, not none
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in layer.experts.parameters())


def test_padding_gets_zeros_and_is_not_counted():
    layer = MixtureOfExperts(6, 10, experts=4, active=2)
    x = torch.randn(2, 5, 6)
    valid = torch.tensor([[True] * 5, [True, True, False, False, False]])
    with watch_routing(layer) as seen:
        got = layer(x, valid)
    assert got[~valid].abs().max() == 0 and seen[0].chosen.shape == (7, 2)
    torch.testing.assert_close(got[valid], layer(x)[valid])


def test_balance_by_hand():
    even = Routing(torch.full((6, 3), 1 / 3), torch.tensor([[0], [1], [2], [0], [1], [2]]))
    assert load_balance(even).item() == pytest.approx(1.0)
    alone = Routing(torch.eye(3)[[1, 1, 1, 1]], torch.tensor([[1], [1], [1], [1]]))
    assert load_balance(alone).item() == pytest.approx(3.0)
    # Two tokens: f = (1/2, 1/2, 0), P = (0.4, 0.35, 0.25).
    some = Routing(torch.tensor([[0.6, 0.2, 0.2], [0.2, 0.5, 0.3]]), torch.tensor([[0], [1]]))
    assert load_balance(some).item() == pytest.approx(3 * (0.5 * 0.4 + 0.5 * 0.35))
    # Two active: f = (2/4, 1/4, 1/4).
    two = Routing(some.probabilities, torch.tensor([[0, 1], [2, 0]]))
    assert load_balance(two).item() == pytest.approx(3 * (0.5 * 0.4 + 0.25 * 0.35 + 0.25 * 0.25))


def test_descent_on_the_balance_evens_the_load():
    layer = MixtureOfExperts(8, 8, experts=4, active=1)
    x = torch.randn(400, 8) + 1.0
    with torch.no_grad():
        layer.router.score.weight[0] += 1.0  # nearly every token wants the first
    optimizer = torch.optim.SGD(layer.router.parameters(), lr=0.5)
    history = []
    for _ in range(100):
        with watch_routing(layer) as seen:
            layer(x)
        balance = load_balance(seen[0])
        history.append(balance.item())
        optimizer.zero_grad()
        balance.backward()
        optimizer.step()
    assert history[0] > 3.5 and history[-1] < 1.2
    assert torch.bincount(seen[0].chosen.flatten(), minlength=4).max() < 200


def test_nothing_is_kept_in_the_module():
    layer = MixtureOfExperts(6, 10, experts=4, active=2)
    with watch_routing(layer) as seen:
        layer(torch.randn(2, 6))
        layer(torch.randn(3, 6))
    layer(torch.randn(4, 6))
    assert [len(routing.chosen) for routing in seen] == [2, 3]
    copy.deepcopy(layer)
    with pytest.raises(InputError, match="mixture of experts"), watch_routing(FeedForward(4)):
        pass


def test_half_precision_routes_in_single():
    layer = MixtureOfExperts(6, 10, experts=4, active=2).bfloat16()
    with watch_routing(layer) as seen:
        assert layer(torch.randn(3, 6).bfloat16()).dtype == torch.bfloat16
    assert seen[0].probabilities.dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"experts": 2, "active": 3}, "at most as many"), ({"active": 0}, "active"), ({"activation": "glu"}, "gelu")],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(SettingError, match=words):
        MixtureOfExperts(6, **settings)
