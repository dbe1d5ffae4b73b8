"""The feed-forward part of a transformer block: one network for all positions, or several experts and a router."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_sizes, chosen

__all__ = ["FeedForward", "MixtureOfExperts", "Router", "Routing", "load_balance", "watch_routing"]

FEED_FORWARDS = ("gelu", "relu", "swiglu")


class FeedForward(nn.Module):
    r"""The same small network at every position.

    ``W_2 f(W_1 x + b_1) + b_2``, or with ``"swiglu"``
    :math:`W_2 (\mathrm{silu}(W_g x + b_g) \odot (W_1 x + b_1)) + b_2`.

    Parameters
    ----------
    width : int
        Width of inputs and outputs.
    hidden : int, optional
        Width of the hidden layer. By default ``4 width``, and for ``"swiglu"``, which has three matrices
        instead of two, 8/3 of it rounded up to a multiple of 8, so that the number of weights is about the same.
    activation : {"gelu", "relu", "swiglu"}
        The hidden units.
    bias : bool
        Whether the affine maps have biases.

    Attributes
    ----------
    hidden : int
        Width of the hidden layer.

    Raises
    ------
    SettingError
        If a size is below 1 or the activation is unknown.

    Examples
    --------
    >>> FeedForward(12)(torch.zeros(2, 5, 12)).shape, FeedForward(12).hidden, FeedForward(12, None, "swiglu").hidden
    (torch.Size([2, 5, 12]), 48, 32)

    References
    ----------
    Vaswani et al. 2017, eq. 2; Hendrycks & Gimpel 2016 (GELU); Shazeer 2020, GLU Variants Improve
    Transformer, eq. 6.
    """

    def __init__(self, width: int, hidden: int | None = None, activation: str = "gelu", bias: bool = True) -> None:
        super().__init__()
        chosen(activation, FEED_FORWARDS, "activation")
        if hidden is None:
            hidden = -(-8 * width // 24) * 8 if activation == "swiglu" else 4 * width
        check_sizes(width=width, hidden=hidden)
        self.width, self.hidden, self.activation = width, hidden, activation
        self.up = nn.Linear(width, 2 * hidden if activation == "swiglu" else hidden, bias)
        self.down = nn.Linear(hidden, width, bias)

    def reset_parameters(self, std: float, output_std: float) -> None:
        """Draw all weights normal, the last map's with its own deviation, and zero the biases."""
        for layer, deviation in ((self.up, std), (self.down, output_std)):
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: Float[Tensor, "*batch {self.width}"]) -> Float[Tensor, "*batch {self.width}"]:
        """Return the network's answer at each position."""
        hidden = self.up(inputs)
        if self.activation == "swiglu":
            gate, value = hidden.chunk(2, -1)
            return self.down(F.silu(gate) * value)
        return self.down(F.gelu(hidden) if self.activation == "gelu" else F.relu(hidden))


class Routing(NamedTuple):
    """What a router decided, for the tokens that count.

    Attributes
    ----------
    probabilities : Tensor of shape (tokens, experts)
        The router's softmax, with gradient.
    chosen : Tensor of shape (tokens, active), int64
        The experts of each token, the most probable one first.
    """

    probabilities: Float[Tensor, "tokens experts"]
    chosen: Int[Tensor, "tokens active"]


def load_balance(routing: Routing) -> Float[Tensor, ""]:
    r"""Return how unevenly experts are used: 1 when evenly, up to the number of experts when one does all.

    .. math::
        E \sum_{i=1}^{E} f_i P_i, \qquad f_i = \text{share of assignments to expert } i, \qquad
        P_i = \text{mean probability of expert } i

    A loss adds this times a small constant (0.01 in the paper), averaged over layers. Only *P* carries a
    gradient. With one active expert it is the paper's; with more, each assignment counts ``1 / active``.
    It is a product of two means over all tokens of the batch, so it does not decompose over examples:
    accumulation over parts of a batch gives another number than the whole.

    Parameters
    ----------
    routing : Routing
        From :func:`watch_routing`.

    Returns
    -------
    Tensor
        Scalar, with gradient.

    Examples
    --------
    >>> even = Routing(torch.full((4, 2), 0.5), torch.tensor([[0], [1], [0], [1]]))
    >>> load_balance(even).item()
    1.0

    References
    ----------
    Fedus, Zoph & Shazeer 2021, Switch Transformers, eq. 4-6.
    """
    experts = routing.probabilities.shape[1]
    counts = torch.bincount(routing.chosen.flatten(), minlength=experts)
    shares = counts / max(1, routing.chosen.numel())
    return experts * torch.dot(shares.to(routing.probabilities.dtype), routing.probabilities.mean(0))


class Router(nn.Module):
    """Choose each token's experts by an affine map and a softmax.

    Parameters
    ----------
    width : int
        Width of the tokens.
    experts, active : int
        How many there are, and how many each token gets.

    Examples
    --------
    >>> Router(8, experts=4, active=2)(torch.zeros(3, 8)).chosen.shape
    torch.Size([3, 2])
    """

    def __init__(self, width: int, experts: int, active: int) -> None:
        super().__init__()
        self.active = active
        self.score = nn.Linear(width, experts, bias=False)

    def forward(self, tokens: Float[Tensor, "tokens width"]) -> Routing:
        """Return probabilities and choices."""
        scores = self.score(tokens)
        # In single precision or better: a softmax in half precision makes routing unstable (Switch, §2.4).
        probabilities = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        return Routing(probabilities, probabilities.topk(self.active, -1).indices)


class MixtureOfExperts(nn.Module):
    r"""Several feed-forward networks, of which a router gives each token a few.

    .. math::
        y = \sum_{i \in \mathrm{top}_k(p)} g_i \, \mathrm{FFN}_i(x), \qquad p = \mathrm{softmax}(W_r x)

    With ``active = 1`` the gate *g* is the probability itself (Switch: else the router would get no gradient);
    with more, the probabilities of the chosen ones divided by their sum (GShard, Mixtral).

    There is no capacity: no token is dropped, and each is routed by itself alone, so that a causal network
    stays causal. A capacity, or experts that choose tokens, would let later tokens, and other rows of the
    batch, decide what happens to earlier ones.

    The module returns its outputs only. What balance a loss needs is seen by :func:`watch_routing`.

    Parameters
    ----------
    width : int
        Width of inputs and outputs.
    hidden : int, optional
        Hidden width of each expert; see :class:`FeedForward`.
    experts : int
        How many there are.
    active : int
        How many each token gets, at most all.
    activation : {"gelu", "relu", "swiglu"}
        Hidden units of the experts.
    bias : bool
        Whether the experts' affine maps have biases.

    Raises
    ------
    SettingError
        If a size is out of range.

    Examples
    --------
    >>> layer = MixtureOfExperts(8, experts=4, active=2)
    >>> with watch_routing(layer) as seen:
    ...     outputs = layer(torch.randn(3, 5, 8))
    >>> outputs.shape, seen[0].chosen.shape, load_balance(seen[0]).shape
    (torch.Size([3, 5, 8]), torch.Size([15, 2]), torch.Size([]))

    References
    ----------
    Shazeer et al. 2017, Outrageously Large Neural Networks; Fedus et al. 2021, Switch Transformers, eq. 1-2;
    Jiang et al. 2024, Mixtral of Experts, §2.1; Goodfellow et al. 2016, §12.1.4 (gaters and experts).
    """

    def __init__(
        self,
        width: int,
        hidden: int | None = None,
        *,
        experts: int = 4,
        active: int = 2,
        activation: str = "gelu",
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(experts=experts, active=active)
        if active > experts:
            received = f"{active} of {experts}"
            raise SettingError("at most as many active experts as there are", received, f"set active={experts}")
        self.width, self.active = width, active
        self.router = Router(width, experts, active)
        self.experts = nn.ModuleList(FeedForward(width, hidden, activation, bias) for _ in range(experts))

    def reset_parameters(self, std: float, output_std: float) -> None:
        """Draw the router's and the experts' weights normal, their last maps' with their own deviation."""
        nn.init.normal_(self.router.score.weight, std=std)
        for expert in self.experts:
            expert.reset_parameters(std, output_std)  # type: ignore[operator]

    def forward(
        self, inputs: Float[Tensor, "*batch {self.width}"], valid: Bool[Tensor, "*batch"] | None = None
    ) -> Float[Tensor, "*batch {self.width}"]:
        """Return the gated sum of each token's experts.

        Parameters
        ----------
        inputs : Tensor of shape (..., width)
            The tokens.
        valid : Tensor of shape (...), bool, optional
            Which tokens are no padding: the others get zeros, and are not counted in the balance.
        """
        if valid is not None:
            outputs = torch.zeros_like(inputs)
            outputs[valid] = self._answer(inputs[valid]).to(outputs.dtype)
            return outputs
        return self._answer(inputs.reshape(-1, self.width)).view(inputs.shape)

    def _answer(self, tokens: Tensor) -> Tensor:
        """Sort the assignments by expert, run each expert once on its own, and put the answers back."""
        routing: Routing = self.router(tokens)
        gates = routing.probabilities.gather(1, routing.chosen)
        if self.active > 1:
            gates = gates / gates.sum(1, keepdim=True)
        assigned = routing.chosen.flatten()
        order = assigned.argsort(stable=True)
        counts = torch.bincount(assigned, minlength=len(self.experts)).tolist()
        shares = tokens[order // self.active].split(counts)
        answers = torch.cat([expert(share) for expert, share in zip(self.experts, shares, strict=True)])
        # Put back by a gather and summed in the order of choice: adding rows by index would depend on timing.
        answers = answers[order.argsort()].view(len(tokens), self.active, self.width)
        return (answers * gates.to(answers.dtype).unsqueeze(2)).sum(1)


@contextmanager
def watch_routing(network: nn.Module) -> Iterator[list[Routing]]:
    """Collect what every router decides while a network runs, for a balance term or a report.

    Nothing is stored in the modules: a network can be copied, saved and differentiated as any other.

    Parameters
    ----------
    network : Module
        The network to watch.

    Yields
    ------
    list of Routing
        One for each mixture and pass, in the order of the pass.

    Raises
    ------
    InputError
        If the network has no mixture of experts.

    Examples
    --------
    >>> from gradus.networks.transformer import Transformer
    >>> network = Transformer(vocabulary=65, context=8, width=16, layers=2, heads=4, experts=4, active=1)
    >>> with watch_routing(network) as seen:
    ...     logits = network(torch.zeros(1, 5, dtype=torch.int64))
    >>> penalty = 0.01 * torch.stack([load_balance(routing) for routing in seen]).mean()
    >>> len(seen), penalty.requires_grad
    (2, True)
    """
    routers = [layer for layer in network.modules() if isinstance(layer, Router)]
    if not routers:
        raise InputError("a network with a mixture of experts", "one without", "make it with for example experts=4")
    seen: list[Routing] = []

    def hook(module: nn.Module, inputs: Any, output: Routing) -> None:
        seen.append(output)

    handles = [router.register_forward_hook(hook) for router in routers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
