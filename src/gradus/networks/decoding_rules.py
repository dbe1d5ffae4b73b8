"""How the next token is drawn from a model's logits: temperature, top-k, nucleus (§12.4)."""

from __future__ import annotations

from math import isfinite

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gradus.core.errors import InputError, SettingError

__all__ = ["next_probabilities", "sample_next"]


def next_probabilities(
    logits: Float[Tensor, "batch vocabulary"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "batch vocabulary"]:
    r"""Return the distribution from which the next token is drawn.

    First :math:`p_i \propto \exp(z_i / T)`; then only the ``top_k`` most probable tokens are kept; then, of
    the distribution over these, the fewest most probable ones whose probabilities reach ``top_p``. Of equally
    probable tokens the first ones count as the more probable.

    Parameters
    ----------
    logits : Tensor of shape (batch, vocabulary)
        Minus infinity forbids a token.
    temperature : float
        *T*, 0 or more. Below 1 the distribution is sharper; at 0 all probability is on the most probable token.
    top_k : int, optional
        1 or more; more than the vocabulary keeps all.
    top_p : float, optional
        In (0, 1]; at 1 all are kept.

    Returns
    -------
    Tensor of shape (batch, vocabulary)
        Rows sum to 1; in float32 or better.

    Raises
    ------
    SettingError
        If a setting is out of range.
    InputError
        If a row has NaN or plus infinity, or forbids every token.

    Examples
    --------
    >>> logits = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()
    >>> next_probabilities(logits, top_k=2)
    tensor([[0.6667, 0.3333, 0.0000, 0.0000]])
    >>> next_probabilities(logits, top_p=0.8).allclose(torch.tensor([[5.0, 2.5, 1.5, 0.0]]) / 9)
    True
    >>> next_probabilities(logits, temperature=0.0)
    tensor([[1., 0., 0., 0.]])

    References
    ----------
    Fan et al. 2018, Hierarchical Neural Story Generation, §5 (top-k); Holtzman et al. 2019, The Curious Case
    of Neural Text Degeneration, eq. 2-3 (nucleus); Goodfellow et al. 2016, §12.4.
    """
    if not 0.0 <= temperature < float("inf"):
        raise SettingError("temperature of 0 or more", str(temperature), "set for example temperature=0.8")
    if top_k is not None and top_k < 1:
        raise SettingError("top_k of 1 or more", str(top_k), "set for example top_k=50, or leave it out")
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise SettingError("top_p in (0, 1]", str(top_p), "set for example top_p=0.9, or leave it out")
    logits = logits if logits.dtype == torch.float64 else logits.float()
    highest = logits.amax(1, keepdim=True)
    # NaN wins a maximum, too. One sum tells of all rows; where it is not finite, each is looked at.
    if not isfinite(float(highest.sum())) and not bool(highest.isfinite().all()):
        row = int((~highest.isfinite()).flatten().nonzero()[0])
        mend = "look for NaN in the network's weights, or forbid fewer tokens"
        raise InputError("a finite largest logit in each row", f"{highest[row].item()} in row {row}", mend)
    if temperature == 0.0:
        return torch.zeros_like(logits).scatter_(1, _ranked(logits)[:, :1], 1.0)
    # The largest becomes zero first: a small temperature would overflow.
    probabilities = ((logits - highest) / temperature).softmax(1)
    if top_k is None and top_p is None:
        return probabilities
    order = _ranked(logits)
    ranked = probabilities.gather(1, order)
    if top_k is not None and top_k < ranked.shape[1]:
        ranked[:, top_k:] = 0.0
        ranked /= ranked.sum(1, keepdim=True)
    if top_p is not None and top_p < 1.0:
        before = ranked.cumsum(1) - ranked  # what is reached without this token
        before[:, 0] = 0.0
        ranked = torch.where(before < top_p, ranked, 0.0)
        ranked /= ranked.sum(1, keepdim=True)
    return torch.zeros_like(probabilities).scatter_(1, order, ranked)


def _ranked(logits: Tensor) -> Tensor:
    """Return tokens by falling logit, equal ones in their own order."""
    return logits.sort(dim=1, descending=True, stable=True).indices


def sample_next(
    logits: Float[Tensor, "batch vocabulary"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator,
) -> Int[Tensor, " batch"]:
    """Draw the next token of each row; see :func:`next_probabilities` for what from.

    Parameters
    ----------
    logits : Tensor of shape (batch, vocabulary)
        Minus infinity forbids a token.
    temperature : float
        0 or more; at 0 nothing is drawn.
    top_k : int, optional
        Keep this many of the most probable tokens.
    top_p : float, optional
        Keep the fewest most probable tokens whose probabilities reach this, in (0, 1].
    generator : torch.Generator
        On the device of the logits.

    Returns
    -------
    Tensor of shape (batch,), int64
        Tokens.

    Raises
    ------
    SettingError
        If a setting is out of range.
    InputError
        If a row has NaN or plus infinity, or forbids every token.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 3.0, -torch.inf], [1.0, 0.0, 0.0]])
    >>> sample_next(logits, top_k=1, generator=torch.Generator().manual_seed(0))
    tensor([1, 0])
    """
    probabilities = next_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
    if temperature == 0.0:
        return probabilities.argmax(1)
    # A race: token i arrives after an exponential time of rate p_i, and is the first with probability p_i. torch's
    # multinomial runs the same one, after checks that take longer.
    times = torch.empty_like(probabilities).exponential_(generator=generator)
    return (probabilities / times.clamp_min_(torch.finfo(times.dtype).tiny)).argmax(1)
