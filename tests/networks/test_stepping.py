"""A stepper says what the network says, whatever its settings, and refuses what it cannot do."""

import pytest
import torch

from gradus.core.errors import InputError
from gradus.core.randomness import isolated
from gradus.networks.stepping import Stepper
from gradus.networks.transformer import Transformer

SETTINGS = [
    {"positions": "learned"},
    {"positions": "sinusoidal", "bias": False},
    {"positions": "rotary", "kv_heads": 2, "activation": "swiglu", "normalization": "rms", "tied": False},
    {"positions": "none", "kv_heads": 1, "activation": "relu", "dropout": 0.5},
]


def made(**settings):
    with isolated(0):
        return Transformer(11, 12, 16, 2, 4, std=0.3, **settings).eval()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("begun", [0, 1, 5])
def test_steps_are_those_of_the_whole_pass(settings, begun):
    network = made(**settings)
    tokens = torch.randint(11, (3, 12), generator=torch.Generator().manual_seed(1))
    whole = network(tokens)
    step = Stepper(network, network.begin(tokens[:, :begun]))
    for t in range(begun, 12):
        assert step.room == 12 - t
        torch.testing.assert_close(step(tokens[:, t]), whole[:, t], atol=2e-5, rtol=1e-4)
    with pytest.raises(InputError, match="at most 12 tokens in all, got 13"):
        step(tokens[:, 0])


def test_steps_carry_no_gradient_and_use_what_is_stored():
    network = made(positions="rotary")
    one, other = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5, 3]])
    said = [Stepper(network, network.begin(tokens[:, :2]))(tokens[:, 2]) for tokens in (one, other)]
    assert not said[0].requires_grad
    assert not torch.allclose(said[0], said[1], atol=1e-3)


def test_what_it_cannot_do_is_refused():
    mixed = made(experts=2)
    with pytest.raises(InputError, match="experts"):
        Stepper(mixed, mixed.begin(torch.zeros(1, 2, dtype=torch.int64)))
    network = made()
    ragged = network.begin(torch.zeros(2, 3, dtype=torch.int64), torch.tensor([3, 1]))
    with pytest.raises(InputError, match="rows of one length"):
        Stepper(network, ragged)
