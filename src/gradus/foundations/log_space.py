"""Functions of logarithms that neither overflow nor lose their digits (§3.10, §4.1).

torch has ``logsumexp``, ``logaddexp``, ``logsigmoid`` and ``softplus``; here is what it lacks.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["inverse_softplus", "log1mexp", "log_mean_exp", "log_subtract_exp"]


def log_mean_exp(values: Float[Tensor, " *shape"], axis: int = 0) -> Float[Tensor, " *rest"]:
    r"""Return :math:`\log \frac1k \sum_i e^{v_i}` over an axis: the logarithm of a mean of probabilities.

    Parameters
    ----------
    values : Tensor of shape (..., k, ...)
        Logarithms; minus infinity for zero.
    axis : int
        Over which.

    Examples
    --------
    >>> log_mean_exp(torch.tensor([[-1000.0], [-1000.0]])).item()
    -1000.0

    References
    ----------
    Goodfellow et al. 2016, §4.1.
    """
    return torch.logsumexp(values, axis) - math.log(values.shape[axis])


def log1mexp(x: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    r"""Return :math:`\log(1 - e^{-x})` of numbers above 0: the logarithm of what probability is left.

    Parameters
    ----------
    x : Tensor
        0 or more; at 0 it is minus infinity.

    Examples
    --------
    >>> log1mexp(torch.tensor([1e-8, 50.0]))  # as written it is -inf and 0
    tensor([-1.8421e+01, -1.9287e-22])

    References
    ----------
    Mächler 2012, Accurately Computing log(1 - exp(-|a|)), eq. 7; Goodfellow et al. 2016, §4.1.
    """
    small = x < math.log(2)
    # Each branch sees a number of its own side only: the slope of the other must not be infinite.
    near = torch.where(small, x, 1.0)
    far = torch.where(small, 1.0, x)
    return torch.where(small, (-torch.expm1(-near)).log(), torch.log1p(-torch.exp(-far)))


def log_subtract_exp(a: Float[Tensor, " *shape"], b: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    r"""Return :math:`\log(e^a - e^b)` for a of b or more.

    Parameters
    ----------
    a, b : Tensor
        Logarithms; where they are equal, the answer is minus infinity, where b is larger, NaN.

    Examples
    --------
    >>> log_subtract_exp(torch.tensor(-1000.0), torch.tensor(-1001.0)).item()  # -1000 + log(1 - 1/e)
    -1000.4586791992188

    References
    ----------
    Goodfellow et al. 2016, §4.1.
    """
    return a + log1mexp(a - b)


def inverse_softplus(y: Float[Tensor, " *shape"]) -> Float[Tensor, " *shape"]:
    r"""Return the x with :math:`y = \log(1 + e^x)`: where a positive parameter shall start.

    Computed as :math:`y + \log(1 - e^{-y})`, since :math:`e^y - 1` overflows.

    Parameters
    ----------
    y : Tensor
        Above 0.

    Examples
    --------
    >>> inverse_softplus(torch.nn.functional.softplus(torch.tensor([-3.0, 0.0, 200.0])))
    tensor([ -3.,   0., 200.])

    References
    ----------
    Goodfellow et al. 2016, §3.10, eq. 3.39.
    """
    return y + log1mexp(y)
