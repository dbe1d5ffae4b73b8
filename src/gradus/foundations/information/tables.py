"""Entropy, divergences and mutual information of finite tables of probabilities, exactly (§3.13)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError, SettingError

__all__ = ["table_cross_entropy", "table_entropy", "table_js", "table_kl", "table_mutual_information"]

_HALF = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
ROUNDING = 1e-5  # by which probabilities may miss a sum of one; those made in single precision do


def check_table(table: Tensor, axes: int, name: str) -> Tensor:
    """Raise `InputError` unless the last ``axes`` of a tensor hold probabilities that sum to one."""
    if not isinstance(table, Tensor) or not table.is_floating_point() or table.ndim < axes:
        received = f"{table.dtype} of shape {tuple(table.shape)}" if isinstance(table, Tensor) else type(table).__name__
        shape = "(..., outcomes)" if axes == 1 else "(..., outcomes of x, outcomes of y)"
        raise InputError(f"{name}, a float tensor of shape {shape}", received, "pass torch.tensor([...]) of floats")
    seen = table.detach()
    if not bool((seen >= 0).all()) or not bool(seen.isfinite().all()):
        raise InputError(
            f"{name} of probabilities, 0 or more", "negative or missing ones", "pass counts over their sum"
        )
    sums = seen.sum(dim=tuple(range(-axes, 0)))
    if sums.numel() and float((sums - 1).abs().max()) > _HALF.get(table.dtype, ROUNDING):
        worst = float(sums.flatten()[(sums - 1).abs().argmax()])
        raise InputError(f"{name} that sums to 1", f"a sum of {worst:.6g}", "divide by the sum")
    return table


def check_pair(p: Tensor, q: Tensor) -> None:
    """Check two tables over the same outcomes."""
    check_table(p, 1, "p")
    check_table(q, 1, "q")
    if p.shape[-1] != q.shape[-1]:
        mend = "give both a probability for every outcome"
        raise InputError(f"q over {p.shape[-1]} outcomes, as p", f"{q.shape[-1]}", mend)


def table_entropy(p: Float[Tensor, "*batch outcomes"]) -> Float[Tensor, " *batch"]:
    """Return ``H(p) = -Σ p log p`` over the last axis."""
    return torch.special.entr(check_table(p, 1, "p")).sum(-1)


def table_cross_entropy(
    p: Float[Tensor, "*batch outcomes"], q: Float[Tensor, "*batch outcomes"]
) -> Float[Tensor, " *batch"]:
    """Return ``H(p, q) = -Σ p log q``, infinite where p is possible and q is not."""
    check_pair(p, q)
    return -torch.special.xlogy(p, q).sum(-1)


def table_kl(p: Float[Tensor, "*batch outcomes"], q: Float[Tensor, "*batch outcomes"]) -> Float[Tensor, " *batch"]:
    """Return ``D(p ‖ q) = Σ p log(p / q)``, infinite where p is possible and q is not."""
    check_pair(p, q)
    return _divergence(p, q).sum(-1)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Return ``p log(p / q) - p + q``: terms of 0 or more, so that nothing cancels where the tables are near.

    What they add to the divergence, ``Σ q - Σ p``, is nothing.
    """
    p, q = torch.broadcast_tensors(p, q)
    possible = p > 0
    gap = (q - p) / torch.where(possible, p, 1.0)
    near = possible & (gap.abs() < 0.5)
    # Of both branches, the one that is not taken computes with a harmless number: its gradient must be finite too.
    close, far = torch.where(near, gap, 0.0), possible & ~near
    logs = torch.where(far, p, 1.0).log() - torch.where(far, q, 1.0).log()
    return torch.where(near, p * (close - close.log1p()), (q - p) + p * logs)


def table_js(
    p: Float[Tensor, "*batch outcomes"], q: Float[Tensor, "*batch outcomes"], weight: float = 0.5
) -> Float[Tensor, " *batch"]:
    """Return ``w D(p ‖ m) + (1 - w) D(q ‖ m)`` with ``m = w p + (1 - w) q``."""
    check_weight(weight)
    check_pair(p, q)
    middle = weight * p + (1 - weight) * q
    return weight * table_kl(p, middle) + (1 - weight) * table_kl(q, middle)


def check_weight(weight: float) -> None:
    """Raise `SettingError` unless the weight of p in a mixture lies inside (0, 1)."""
    if not 0 < weight < 1:
        raise SettingError("weight inside (0, 1)", str(weight), "leave weight out for 0.5")


def table_mutual_information(joint: Float[Tensor, "*batch x y"]) -> Float[Tensor, " *batch"]:
    """Return ``I(x; y) = D(p(x, y) ‖ p(x) p(y))`` of a joint table over the last two axes."""
    check_table(joint, 2, "joint")
    return _divergence(joint, joint.sum(-1, keepdim=True) * joint.sum(-2, keepdim=True)).sum((-2, -1))
