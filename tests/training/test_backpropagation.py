"""The written-out gradients are torch.autograd's to the bit, and step aside where somebody listens."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gradus.networks import (
    MLP,
    BinaryHead,
    CategoricalHead,
    ConvNet,
    GaussianHead,
    HeadedNetwork,
    MixtureDensityHead,
    QuantileHead,
    Standardize,
)
from gradus.training.backpropagation import ChainGradients
from gradus.training.losses import Loss, head_loss
from gradus.training.options import TrainingOptions
from gradus.training.player import Player

SIZES = (7, 9)


def batch_of(targets: Tensor, n: int = 24) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(5)
    return {"inputs": torch.randn(n, 6, generator=source), "targets": targets}


def classes(n: int = 24) -> Tensor:
    return torch.arange(n) % 4


def numbers(n: int = 24) -> Tensor:
    return torch.linspace(-1, 2, n)


HEADS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "categorical": (lambda: CategoricalHead(SIZES[-1], 4), classes()),
    "binary": (lambda: BinaryHead(SIZES[-1]), (classes() > 1).float()),
    "gaussian": (lambda: GaussianHead(SIZES[-1]), numbers()),
    "gaussian_learned": (lambda: GaussianHead(SIZES[-1], variance="learned"), numbers()),
    "mixture": (lambda: MixtureDensityHead(SIZES[-1]), numbers()),
    "quantile": (lambda: QuantileHead(SIZES[-1]), numbers()),
}


def trained(
    network: HeadedNetwork, batch: dict[str, Tensor], *, chain: bool, steps: int = 10, **options: object
) -> Player:
    """Take steps on one batch, by the chain or by autograd, dropout drawn from the same state."""
    player = Player("network", network, head_loss(network.head), TrainingOptions(**options))
    assert player._chain is not None
    if not chain:
        player._chain = None
    torch.manual_seed(0)
    for step in range(steps):
        player.update(batch, step, 1.0)
    return player


def agree(network: HeadedNetwork, batch: dict[str, Tensor], **options: object) -> None:
    twin = copy.deepcopy(network)
    before = [p.clone() for p in network.parameters()]
    by_chain, by_autograd = trained(network, batch, chain=True, **options), trained(twin, batch, chain=False, **options)
    assert torch.equal(torch.stack(by_chain.totals), torch.stack(by_autograd.totals))
    for old, mine, other in zip(before, network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, other)
        assert not torch.equal(mine, old)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "silu"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ten_steps_equal_autograd_to_the_bit(activation: str, dropout: float, dtype: torch.dtype) -> None:
    body = MLP(6, SIZES, activation=activation, dropout=dropout, input_dropout=dropout)
    network = HeadedNetwork(None, body, CategoricalHead(SIZES[-1], 4)).to(dtype)
    batch = batch_of(classes())
    agree(network, {**batch, "inputs": batch["inputs"].to(dtype)}, optimizer="adam", learning_rate=0.01)


@pytest.mark.parametrize("head", HEADS)
def test_every_head_agrees(head: str) -> None:
    make, targets = HEADS[head]
    agree(HeadedNetwork(None, MLP(6, SIZES), make()), batch_of(targets), optimizer="sgd", learning_rate=0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"l2": 0.1, "l1": 0.01},
        {"gradient_clip": 0.01},
        {"weight_noise": 0.1},
        {"max_norm": 0.5},
        {"weight_decay": 0.1, "optimizer": "adamw"},
        {"optimizer": "momentum"},
    ],
    ids=str,
)
def test_what_else_acts_on_gradients_and_weights_agrees(options: dict[str, object]) -> None:
    network = HeadedNetwork(None, MLP(6, SIZES), CategoricalHead(SIZES[-1], 4))
    agree(network, batch_of(classes()), learning_rate=0.01, **options)


def test_no_hidden_layer() -> None:
    network = HeadedNetwork(None, MLP(6, ()), CategoricalHead(6, 4))
    agree(network, batch_of(classes()))


def test_saturated_scores_and_certain_dropout_stay_finite() -> None:
    network = HeadedNetwork(None, MLP(6, SIZES), CategoricalHead(SIZES[-1], 4))
    with torch.no_grad():
        network.head.linear.weight.mul_(1e4)
    agree(network, batch_of(classes()))


def chain_of(network: nn.Module, **changes: object) -> ChainGradients | None:
    return ChainGradients.of(network, head_loss(network.head, **changes))  # type: ignore[arg-type]


def test_more_than_a_chain_is_left_to_autograd() -> None:
    head = CategoricalHead(SIZES[-1], 4)
    assert chain_of(HeadedNetwork(None, MLP(6, SIZES), head)) is not None
    assert chain_of(HeadedNetwork(None, MLP(6, SIZES, normalization="batch"), head)) is None
    assert chain_of(HeadedNetwork(None, MLP(6, SIZES, activation="mish"), head)) is None
    assert chain_of(HeadedNetwork(None, MLP(6, (9, 9), residual=True), head)) is None
    assert chain_of(HeadedNetwork(None, ConvNet(1, 8, features=9), head)) is None
    assert chain_of(HeadedNetwork(Standardize.from_data(torch.eye(6)), MLP(6, SIZES), head)) is None
    assert chain_of(HeadedNetwork(None, MLP(6, SIZES), head), label_smoothing=0.1) is None
    assert chain_of(HeadedNetwork(None, MLP(6, SIZES), head), metrics=True) is None
    frozen = HeadedNetwork(None, MLP(6, SIZES), CategoricalHead(SIZES[-1], 4))
    frozen.head.requires_grad_(False)
    assert chain_of(frozen) is None
    other = HeadedNetwork(None, MLP(6, SIZES), CategoricalHead(SIZES[-1], 4))
    assert ChainGradients.of(other, head_loss(head)) is None

    def custom(network: nn.Module, batch: dict[str, Tensor], generator: torch.Generator) -> Loss:
        return head_loss(other.head)(network, batch, generator)

    assert ChainGradients.of(other, custom) is None


def test_a_hook_is_heard_while_it_is_there() -> None:
    network = HeadedNetwork(None, MLP(6, SIZES), CategoricalHead(SIZES[-1], 4))
    player = Player("network", network, head_loss(network.head), TrainingOptions())
    heard: list[str] = []
    batch = batch_of(classes())
    player.update(batch, 0, 1.0)
    handles = [
        network.body.layers[1].register_forward_hook(lambda *_: heard.append("forward")),
        network.body.layers[2].register_full_backward_hook(lambda *_: heard.append("backward")),
        network.body.layers[0].weight.register_hook(lambda _: heard.append("gradient")),
    ]
    player.update(batch, 1, 1.0)
    assert sorted(heard) == ["backward", "forward", "gradient"]
    for handle in handles:
        handle.remove()
    player.update(batch, 2, 1.0)
    assert len(heard) == 3


def test_weights_of_examples_and_wrong_targets_get_the_ordinary_loss() -> None:
    network = HeadedNetwork(None, MLP(6, SIZES), CategoricalHead(SIZES[-1], 4))
    chain = chain_of(network)
    assert chain is not None
    batch = batch_of(classes())
    assert chain.applies(batch)
    assert not chain.applies({**batch, "weights": torch.ones(24)})
    with pytest.raises(Exception, match="targets of shape"):
        chain.step({**batch, "targets": classes(23)}, torch.tensor(1.0))


def test_l_bfgs_and_accumulation_go_by_autograd() -> None:
    network = HeadedNetwork(None, MLP(6, SIZES), CategoricalHead(SIZES[-1], 4))
    for options in (TrainingOptions(optimizer="lbfgs"), TrainingOptions(accumulate=2)):
        assert Player("network", network, head_loss(network.head), options)._chain is None
