"""Gabor functions, which simple cells of the visual cortex and first layers resemble (§9.10)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gradus.core.errors import InputError
from gradus.networks.checks import check_sizes

__all__ = ["GaborFit", "fit_gabor", "gabor"]

_SMALLEST = 25  # pixels: eight parameters fit anything smaller
_STARTS = 4


class GaborFit(NamedTuple):
    """Parameters of the Gabor functions nearest to filters, and how near they are; arrays of shape (n,).

    Names are those of :func:`gabor`; ``r2`` is the share of each filter's energy that its Gabor function explains.
    """

    amplitude: np.ndarray
    decay_x: np.ndarray
    decay_y: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray
    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    r2: np.ndarray

    def filters(self, size: int | tuple[int, int]) -> np.ndarray:
        """Return the Gabor functions as filters of shape (n, height, width)."""
        return gabor(size, **{name: values for name, values in self._asdict().items() if name != "r2"})


def gabor(
    size: int | tuple[int, int],
    *,
    amplitude: float | np.ndarray = 1.0,
    decay_x: float | np.ndarray = 0.1,
    decay_y: float | np.ndarray = 0.1,
    frequency: float | np.ndarray = 1.0,
    phase: float | np.ndarray = 0.0,
    x: float | np.ndarray = 0.0,
    y: float | np.ndarray = 0.0,
    angle: float | np.ndarray = 0.0,
) -> np.ndarray:
    """Return Gabor functions as filters: a wave under a Gaussian.

    ``w = α exp(-βx x'² - βy y'²) cos(f x' + φ)`` with ``x' = (x - x0) cos τ + (y - y0) sin τ`` and
    ``y' = -(x - x0) sin τ + (y - y0) cos τ``, in pixels from the middle of the filter, x to the right and y down.

    Parameters
    ----------
    size : int or (int, int)
        Height and width, in pixels.
    amplitude : float or array of shape (n,)
        The book's α.
    decay_x, decay_y : float or array of shape (n,)
        The book's βx (along the wave) and βy (across), in 1/pixel²: ``1 / (2 σ²)`` for a Gaussian of deviation σ.
    frequency : float or array of shape (n,)
        The book's f, in radians a pixel; π is the finest there is.
    phase : float or array of shape (n,)
        The book's φ, in radians: 0 is a bar, ±π/2 an edge.
    x, y : float or array of shape (n,)
        The book's x0 and y0: the middle of the Gaussian, in pixels from the middle of the filter.
    angle : float or array of shape (n,)
        The book's τ, in radians: the direction in which the wave runs.

    Returns
    -------
    array of shape (height, width), or (n, height, width) where any parameter is an array

    Raises
    ------
    SettingError
        If the size is below one.

    Examples
    --------
    >>> gabor(3, decay_x=0.0, decay_y=0.0, frequency=np.pi)[1].round(3).tolist()
    [-1.0, 1.0, -1.0]

    References
    ----------
    Goodfellow et al. 2016, §9.10, eqs. 9.16-9.18.
    """
    height, width = (size, size) if isinstance(size, int) else size
    check_sizes(height=height, width=width)
    theta = np.broadcast_arrays(amplitude, decay_x, decay_y, frequency, phase, x, y, angle)
    values = _value(np.stack(theta).astype(np.float64)[..., None], *_grid(height, width))
    return values.reshape(*theta[0].shape, height, width)


def fit_gabor(filters: Float[Tensor, "n *channels height width"] | np.ndarray) -> GaborFit:
    """Fit a Gabor function to each filter, by least squares.

    A grid of frequencies, directions, widths and places is searched first, with amplitude and phase in closed form;
    from the best few, all eight parameters go down to a minimum. Of equal descriptions the one with positive
    amplitude and frequency, and an angle in [0, π), is given.

    Parameters
    ----------
    filters : Tensor or array of shape (n, height, width) or (n, channels, height, width)
        Of 25 pixels or more. Of a filter with several channels the fit is to the pattern in space that, with one
        colour, comes nearest to it; what the colour leaves counts as not explained.

    Returns
    -------
    GaborFit
        Parameters and R². White noise of 11 x 11 pixels comes to 0.15, and smaller filters of noise to more. A filter
        of zeros has amplitude zero and an R² of NaN.

    Raises
    ------
    InputError
        If the filters have another shape, fewer pixels, or values that are not finite.

    Examples
    --------
    >>> fit = fit_gabor(gabor(11, frequency=1.2, phase=0.5, angle=np.array([0.3, 2.0])))
    >>> fit.angle.round(3).tolist(), fit.frequency.round(3).tolist(), fit.r2.round(3).tolist()
    ([0.3, 2.0], [1.2, 1.2], [1.0, 1.0])

    References
    ----------
    Goodfellow et al. 2016, §9.10, figures 9.18 and 9.19.
    """
    data = filters.detach().cpu().numpy() if isinstance(filters, Tensor) else np.asarray(filters)
    if data.ndim == 3:
        data = data[:, None]
    if data.ndim != 4 or 0 in data.shape or data.shape[2] * data.shape[3] < _SMALLEST:
        expected = f"filters of shape (n, height, width) or (n, channels, height, width), {_SMALLEST} pixels or more"
        raise InputError(expected, str(data.shape), "fit the filters of a layer with a kernel of 5 or more")
    if not np.isfinite(data).all():
        raise InputError("finite filters", "infinite or missing values", "fit them before training goes astray")
    n, channels, height, width = data.shape
    flat = data.reshape(n, channels, -1).astype(np.float64)
    energy = np.square(flat).sum((1, 2))
    if channels > 1:  # the nearest product of a colour and a pattern
        _, strength, patterns = np.linalg.svd(flat, full_matrices=False)
        spatial = strength[:, :1] * patterns[:, 0]
    else:
        spatial = flat[:, 0]
    grid = _grid(height, width)
    scale = np.abs(spatial).max(1)
    scaled = spatial / np.where(scale > 0, scale, 1.0)[:, None]
    found = np.zeros((8, n))
    r2 = np.full(n, np.nan)
    starts = _starts(scaled, grid, (height, width))
    for index in np.flatnonzero(scale > 0):
        theta, residual = _refine(scaled[index], starts[index], grid, (height, width))
        found[:, index] = _canonical(theta)
        found[0, index] *= scale[index]
        explained = np.square(spatial[index]).sum() - residual * scale[index] ** 2
        r2[index] = explained / energy[index]
    a, bx, by, f, phi, x0, y0, tau = found
    return GaborFit(a, bx, by, f, phi, x0, y0, tau, r2)


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width].reshape(2, -1)
    return columns - (width - 1) / 2, rows - (height - 1) / 2


def _value(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, bx, by, f, phi, x0, y0, tau = theta
    along = (x - x0) * np.cos(tau) + (y - y0) * np.sin(tau)
    across = -(x - x0) * np.sin(tau) + (y - y0) * np.cos(tau)
    return a * np.exp(-bx * along**2 - by * across**2) * np.cos(f * along + phi)


def _starts(filters: np.ndarray, grid: tuple[np.ndarray, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return the best points of a search for each filter, shape (n, starts, 8), of different waves."""
    span = max(size)
    middles = [np.linspace(-0.3, 0.3, 5) * side for side in reversed(size)]
    frequencies = np.unique(np.minimum(2 * np.pi * np.arange(0.5, span / 2 + 0.5, 0.5) / span, 0.95 * np.pi))
    best, points = [], []
    for f in frequencies:
        for tau in np.arange(12) * np.pi / 12:
            sigma, x0, y0 = (p.ravel() for p in np.meshgrid(np.array([0.1, 0.18, 0.3]) * span, *middles))
            beta = 0.5 / sigma**2
            one = np.ones_like(beta)
            theta = [one, beta, beta, f * one, 0 * one, x0, y0, tau * one]
            cosine = _value(np.stack(theta)[..., None], *grid)
            theta[4] = -np.pi / 2 * one
            sine = _value(np.stack(theta)[..., None], *grid)
            # α cos(f x' + φ) = α cos φ cos(f x') - α sin φ sin(f x'): linear in two coefficients.
            cc, ss, cs = (np.einsum("kp,kp->k", u, v) for u, v in ((cosine, cosine), (sine, sine), (cosine, sine)))
            c, s = filters @ cosine.T, filters @ sine.T
            determinant = cc * ss - cs**2 + 1e-9 * cc**2
            p, q = (c * ss - s * cs) / determinant, (s * cc - c * cs) / determinant
            explained = p * c + q * s
            at = explained.argmax(1)
            rows = np.arange(len(filters))
            p, q = p[rows, at], q[rows, at]
            best.append(explained[rows, at])
            points.append(np.stack([np.hypot(p, q), beta[at], beta[at], f + 0 * p, np.arctan2(-q, p),
                                    x0[at], y0[at], tau + 0 * p], -1))  # fmt: skip
    order = np.argsort(-np.stack(best, 1), axis=1)[:, :_STARTS]
    return np.take_along_axis(np.stack(points, 1), order[..., None], 1)


def _refine(
    target: np.ndarray, starts: np.ndarray, grid: tuple[np.ndarray, np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, float]:
    """Return the parameters of the lowest minimum reached, and the sum of squares left there."""
    from scipy.optimize import least_squares

    x, y = grid
    height, width = size
    # The decays by their logarithms. A Gaussian narrower than a third of a pixel is one pixel; one with a deviation of
    # four times the filter is flat.
    widest = np.log(0.5 / (4.0 * max(size)) ** 2)
    low = np.array([-np.inf, widest, widest, 0.0, -np.inf, -width / 2, -height / 2, -np.inf])
    high = np.array([np.inf, np.log(4.5), np.log(4.5), np.pi, np.inf, width / 2, height / 2, np.inf])

    def residuals(theta: np.ndarray) -> np.ndarray:
        a, bx, by, f, phi, x0, y0, tau = theta
        return _value(np.array([a, np.exp(bx), np.exp(by), f, phi, x0, y0, tau]), x, y) - target

    def slopes(theta: np.ndarray) -> np.ndarray:
        a, log_bx, log_by, f, phi, x0, y0, tau = theta
        bx, by, cos, sin = np.exp(log_bx), np.exp(log_by), np.cos(tau), np.sin(tau)
        along, across = (x - x0) * cos + (y - y0) * sin, -(x - x0) * sin + (y - y0) * cos
        envelope = np.exp(-bx * along**2 - by * across**2)
        unit, quadrature = envelope * np.cos(f * along + phi), -a * envelope * np.sin(f * along + phi)
        d_along, d_across = -2 * bx * along * a * unit + f * quadrature, -2 * by * across * a * unit
        return np.stack([
            unit, -bx * along**2 * a * unit, -by * across**2 * a * unit, quadrature * along, quadrature,
            -cos * d_along + sin * d_across, -sin * d_along - cos * d_across, across * d_along - along * d_across,
        ], 1)  # fmt: skip

    lowest: tuple[np.ndarray, float] = (starts[0], np.inf)
    for start in starts:
        theta = start.copy()
        theta[1:3] = np.log(theta[1:3])
        inside = np.clip(theta, np.nextafter(low, np.inf), np.nextafter(high, -np.inf))
        found = least_squares(residuals, inside, slopes, bounds=(low, high), x_scale="jac", max_nfev=100)
        if 2 * found.cost < lowest[1]:
            best = found.x.copy()
            best[1:3] = np.exp(best[1:3])
            lowest = best, 2 * float(found.cost)
    return lowest


def _canonical(theta: np.ndarray) -> np.ndarray:
    """Return the same function with positive amplitude, angle in [0, π) and phase in (-π, π]."""
    a, bx, by, f, phi, x0, y0, tau = theta
    if a < 0:
        a, phi = -a, phi + np.pi
    turns = np.floor(tau / np.pi)
    if turns % 2:  # half a turn: the wave runs backwards
        phi = -phi
    phi = np.pi - (np.pi - phi) % (2 * np.pi)
    return np.array([a, bx, by, f, phi, x0, y0, tau - turns * np.pi])
