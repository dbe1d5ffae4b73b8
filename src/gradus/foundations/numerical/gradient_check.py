"""Gradients against differences of values: the check on every derivative that somebody wrote (§4.3, §11.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradus.core.errors import InputError, SettingError
from gradus.foundations.numerical.products import vector_jacobian_product
from gradus.foundations.trees import leaves, places, rebuilt

__all__ = ["GradientCheck", "check_gradient"]

EPS = torch.finfo(torch.float64).eps
# Truncation errs by h² f'''/6, rounding by eps f / h: their sum is least near the third root of eps.
STEP = EPS ** (1 / 3)
# The imaginary step can be so small that its square is nothing: no values are subtracted, so no digits are lost.
IMAGINARY = 1e-30
# A derivative is judged where it is this many times what differences leave in doubt.
MARGIN = 1e4


class GradientCheck(NamedTuple):
    """What `check_gradient` found.

    Attributes
    ----------
    error : float
        Largest relative error: below 1e-4 for the right gradient of a smooth function, 1/2 for a factor of two, 1 for
        a gradient that is missing, 2 for a wrong sign.
    where : str
        The entry, or the tensor and direction, where that is.
    gradient : float
        The derivative there by automatic differentiation.
    difference : float
        By central differences.
    complex_step : float or None
        By a complex step; None where the function does not permit one anywhere.
    compared : int
        Derivatives compared.
    """

    error: float
    where: str
    gradient: float
    difference: float
    complex_step: float | None
    compared: int


def check_gradient(
    function: Callable[[Any], Tensor],
    point: Any,
    *,
    directions: int | None = None,
    generator: torch.Generator | None = None,
) -> GradientCheck:
    """Compare a function's gradient with central differences, and with complex steps where it permits them.

    ``(f(x + h) - f(x - h)) / 2h`` with ``h`` near the third root of the precision; the same with ``2h`` tells how far
    it can be trusted, so that a kink nearby, or rounding, is not taken for an error. And ``Im f(x + ih) / h``, exact to
    the last digits, of functions that compute with complex numbers and are smooth (no ReLU, no absolute values): where
    it contradicts the differences the function is none of these, and it is left out.

    Parameters
    ----------
    function : callable
        ``point -> one number``, differentiable by torch and without randomness. What it captures has to be float64 too.
    point : Tensor, or dicts, lists and tuples of them
        Where, float64.
    directions : int, optional
        Instead of all entries, compare along as many random directions in each tensor: for many parameters. What is
        wrong in a few entries of many is seen less surely then.
    generator : Generator, optional
        Draws the directions.

    Returns
    -------
    GradientCheck

    Raises
    ------
    InputError
        If the point is not float64, or not finite, or the function returns more than one number or none that is finite.
    SettingError
        If there is no direction, or no generator to draw them.

    Examples
    --------
    >>> x = torch.tensor([0.5, -2.0], dtype=torch.float64)
    >>> check_gradient(lambda x: x.sin().sum(), x).error < 1e-8
    True
    >>> forgotten = check_gradient(lambda x: x[0] ** 2 + x[1].detach() ** 2, x)  # a dropped term
    >>> forgotten.error, forgotten.where, forgotten.gradient, round(forgotten.difference, 6)
    (1.0, '[1]', 0.0, -4.0)

    References
    ----------
    Goodfellow et al. 2016, §11.5, eq. 11.5-11.8; Squire & Trapp 1998, Using Complex Variables to Estimate Derivatives
    of Real Functions.
    """
    if directions is not None and (directions < 1 or generator is None):
        received = f"directions={directions}, generator={generator}"
        raise SettingError("1 direction or more and a generator", received, "pass generator=torch.Generator()")
    parts = _checked(point)
    value, pull = vector_jacobian_product(function, rebuilt(point, [part.detach() for part in parts]))
    if value.numel() != 1:
        received = f"shape {tuple(value.shape)}"
        raise InputError("a function that returns one number", received, "weigh its outputs at random and sum them")
    if not bool(value.isfinite().all()):
        raise InputError("a finite value at the point", f"{float(value.detach()):g}", "check it elsewhere")
    with torch.no_grad():
        gradients = leaves(pull(torch.ones_like(value)))

    def line(k: int, way: Tensor) -> Callable[[complex], Tensor]:
        def value(step: complex) -> Tensor:
            moved = [part.detach() for part in parts]
            moved[k] = moved[k] + step * way
            with torch.no_grad():
                return function(rebuilt(point, moved)).flatten()

        return value

    rows = []
    for k, way, where in _ways(parts, places(point), directions, generator):
        values = line(k, way)
        gradient = float((gradients[k] * way).sum())
        rows.append((where, gradient, *_difference(values, parts[k], way), _complex_step(values)))
    if not rows:
        raise InputError("a point with entries", "none", "pass one number or more")
    # terms that cancel, in the value as in the derivative, leave rounding of their own size
    scale = max(abs(float(value.detach())), *(abs(gradient) for _, gradient, _, _, _ in rows))
    permitted = all(
        imaginary is not None and _relative(imaginary, difference, MARGIN * doubt) < 1e-3
        for _, _, difference, doubt, imaginary in rows
    )
    found = []
    for where, gradient, difference, doubt, imaginary in rows:
        error = _relative(gradient, difference, MARGIN * doubt)
        exact = imaginary if permitted else None
        if exact is not None:
            error = max(error, _relative(gradient, exact, MARGIN * EPS * scale))
        found.append(GradientCheck(error, where, gradient, difference, exact, len(rows)))
    return max(found, key=lambda check: check.error)


def _checked(point: Any) -> list[Tensor]:
    parts = leaves(point)
    for part in parts:
        if not isinstance(part, Tensor) or part.dtype != torch.float64:
            received = str(part.dtype) if isinstance(part, Tensor) else type(part).__name__
            mend = "convert it and what the function captures with .double(): differences need the digits"
            raise InputError("a point in float64", received, mend)
        if not bool(part.isfinite().all()):
            raise InputError("finite numbers in the point", "infinite or missing ones", "check it elsewhere")
    return parts


def _ways(
    parts: list[Tensor], names: list[str], directions: int | None, generator: torch.Generator | None
) -> Iterator[tuple[int, Tensor, str]]:
    """Yield which tensor to move, the way in it, and its name."""
    for k, (part, name) in enumerate(zip(parts, names, strict=True)):
        if directions is None:
            for at in range(part.numel()):
                way = torch.zeros(part.numel(), dtype=part.dtype, device=part.device)
                way[at] = 1
                index = torch.unravel_index(torch.tensor(at), part.shape) if part.ndim else ()
                yield k, way.view(part.shape), name + (f"[{', '.join(str(int(i)) for i in index)}]" if index else "")
        elif part.numel():
            for number in range(directions):
                device = generator.device if generator is not None else part.device
                way = torch.randn(part.shape, generator=generator, dtype=part.dtype, device=device).to(part.device)
                yield k, way / way.norm(), f"{name} direction {number}".strip()


def _difference(value: Callable[[complex], Tensor], part: Tensor, way: Tensor) -> tuple[float, float]:
    """Return the central difference, and what it leaves in doubt."""
    h = STEP * max(1.0, float((part * way).abs().max() / way.abs().max()))
    ends = [float(value(step)) for step in (h, -h, 2 * h, -2 * h)]
    near, far = (ends[0] - ends[1]) / (2 * h), (ends[2] - ends[3]) / (4 * h)
    return near, abs(near - far) + EPS * max(map(abs, ends)) / h


def _complex_step(value: Callable[[complex], Tensor]) -> float | None:
    """Return the derivative by an imaginary step, None where the function does not compute with complex numbers."""
    try:
        found = value(1j * IMAGINARY)
    except (RuntimeError, TypeError, NotImplementedError):
        return None
    return float(found.imag) / IMAGINARY if found.is_complex() else None


def _relative(a: float, b: float, floor: float) -> float:
    """Return the relative error of two derivatives; one that is not a number errs beyond measure."""
    if a == b:
        return 0.0
    error = abs(a - b) / max(abs(a), abs(b), floor)
    return error if error == error else float("inf")
