"""What there is to see of factors of patches: filters, Gabor functions beside them, how few are active, patches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradus.estimators.exhibit import Exhibit, Picture, axis, floats
from gradus.networks.convolutional.gabor import GaborFit, fit_gabor

if TYPE_CHECKING:
    from gradus.research.linear_factors.patches import PatchFactors

__all__ = ["gabor_quality", "patch_exhibits", "sheet"]

SHOWN, FITTED, NOISE, BESIDE, ZOOM = 256, 64, 24, 12, 3
SEED = 19960613  # fixed: a report written twice says the same


def sheet(filters: NDArray[Any], label: str, *, zoom: int = ZOOM) -> Picture:
    """Draw filters side by side, each with its zero at middle grey and its own largest weight black or white.

    Parameters
    ----------
    filters : array of shape (n, height, width)
    label : str
        What they are.
    zoom : int
        Points of the picture for each pixel of a filter, on either axis.

    Examples
    --------
    >>> sheet(np.ones((5, 8, 8)), "flat").png[1:4]
    b'PNG'
    """
    n, height, width = filters.shape
    across = int(np.ceil(np.sqrt(n * 1.6)))
    down = int(np.ceil(n / across))
    page = np.ones((down * (height + 1) - 1, across * (width + 1) - 1))
    for index, each in enumerate(filters):
        top, left = (index // across) * (height + 1), (index % across) * (width + 1)
        page[top : top + height, left : left + width] = (each / (np.abs(each).max() or 1.0) + 1) / 2
    return Picture.of(np.kron(page, np.ones((zoom, zoom))), label, 1.0)


def gabor_quality(filters: NDArray[Any], noise: NDArray[Any]) -> tuple[GaborFit, pd.DataFrame]:
    """Fit Gabor functions to filters, and to noise of the same spectrum for comparison.

    Parameters
    ----------
    filters, noise : arrays of shape (n, size, size)

    Returns
    -------
    tuple
        The fits to filters, and a table of the quartiles of R² and of the share above 0.8.
    """
    fits, chance = fit_gabor(filters), fit_gabor(noise)
    rows = []
    for name, r2 in (("filters", fits.r2), ("noise of the same spectrum", chance.r2)):
        r2 = r2[np.isfinite(r2)]
        lower, middle, upper = np.quantile(r2, [0.25, 0.5, 0.75])
        rows.append((name, len(r2), lower, middle, upper, float((r2 > 0.8).mean())))
    columns = ["fitted to", "number", "R² lower quartile", "R² median", "R² upper quartile", "share above 0.8"]
    return fits, pd.DataFrame(rows, columns=columns)


def patch_exhibits(model: PatchFactors, patches: NDArray[Any]) -> Iterator[Exhibit]:
    """Yield what there is to see of fitted factors on unseen patches.

    Parameters
    ----------
    model : PatchFactors
        Fitted.
    patches : ndarray of shape (n, size, size)
    """
    filters = model.filters_
    some = f"The first {SHOWN} of {len(filters)}. " if len(filters) > SHOWN else ""
    caption = (
        f"{some}What a unit of each factor adds to a patch of {model.patch_size} x {model.patch_size} pixels; middle "
        "grey is zero. Look for edges and bars of every direction, each in a place of its own."
    )
    yield Exhibit("Filters", caption, "learning", pictures=(sheet(filters[:SHOWN], "filters"),))
    yield from _gabors(model, filters)
    white = model.whitened(patches)
    yield _active(model, patches)
    yield _approximated(model, white)


def _gabors(model: PatchFactors, filters: NDArray[Any]) -> Iterator[Exhibit]:
    taken = np.unique(np.linspace(0, len(filters) - 1, min(FITTED, len(filters))).astype(int))
    drawing = np.random.default_rng(SEED)
    noise = model.shown(drawing.normal(size=(min(NOISE, len(taken)), model.atoms_.shape[1])))
    fits, table = gabor_quality(filters[taken], noise)
    order = np.argsort(-np.nan_to_num(fits.r2), kind="stable")
    some = order[np.unique(np.linspace(0, len(order) - 1, min(2 * BESIDE, len(order))).astype(int))]
    pairs = np.stack([filters[taken][some], fits.filters(model.patch_size)[some]], 1)
    middle, chance = table["R² median"]
    caption = (
        f"A Gabor function, a wave under a Gaussian, explains {middle:.0%} of a filter's energy (median of "
        f"{len(taken)}); of noise with the same spectrum it explains {chance:.0%}. Simple cells of the visual cortex "
        f"have this shape. From the best fit to the worst, {len(some)} of them: the filter on the left, its Gabor "
        "function on the right."
    )
    pictures = tuple(sheet(pair, f"R² {r2:.2f}", zoom=4) for pair, r2 in zip(pairs, fits.r2[some], strict=True))
    yield Exhibit("Gabor functions", caption, "learning", table=table, pictures=pictures)
    long = np.asarray(fits.frequency > 2 * np.pi / (2 * model.patch_size))  # half a wave or more within the filter
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": floats(np.degrees(fits.angle[long])),
            "y": floats(fits.frequency[long] / (2 * np.pi)),
            "marker": {"size": 7, "opacity": 0.7},
        }
    ]
    layout = {
        "height": 360,
        "xaxis": axis("direction of the wave, degrees", range=[0, 180], dtick=30),
        "yaxis": axis("waves a pixel", rangemode="tozero"),
    }
    text = (
        f"Each point is one of the {int(long.sum())} of {len(taken)} filters whose Gabor function has a wave, and is "
        "no mere blob or edge of one: its direction and how fine it is. Look for gaps."
    )
    yield Exhibit("Directions and frequencies", text, "learning", {"data": data, "layout": layout})


def _active(model: PatchFactors, patches: NDArray[Any]) -> Exhibit:
    codes = model.transform(patches[:2000])
    sizes = np.abs(codes) * np.linalg.norm(model.atoms_, axis=1)
    together = np.sort(np.square(sizes[(codes != 0).any(1)]), axis=1)[:, ::-1].cumsum(1)
    share = (together / together[:, -1:]).mean(0)[:60] if len(together) else np.zeros(1)
    number = np.arange(1, len(share) + 1)
    data = [{"type": "scatter", "mode": "lines", "x": number.tolist(), "y": floats(share)}]
    layout = {
        "height": 340,
        "xaxis": axis("factors of a patch, the strongest first"),
        "yaxis": axis("share of the code's energy", range=[0, 1.02], tickformat=".0%"),
    }
    used, none = float((codes != 0).sum(1).mean()), float((codes == 0).all(1).mean())
    caption = (
        f"Codes of {len(codes):,} unseen patches use {used:.1f} of {codes.shape[1]} factors a patch; {none:.0%} of the "
        "patches are so flat that they use none. The faster the curve of the others rises, the fewer factors tell what "
        "is in a patch."
    )
    table = pd.DataFrame({"factors": number, "share": share})
    return Exhibit("How few are active", caption, "answers", {"data": data, "layout": layout}, table)


def _approximated(model: PatchFactors, white: NDArray[Any]) -> Exhibit:
    plain = np.linspace(0, len(white) - 1, min(BESIDE, len(white))).astype(int)
    given, kept = model.shown(white[plain]), model.shown(model.approximate(white[plain]))
    pairs = np.stack([given, kept], 1)
    pairs = pairs / np.abs(pairs).max((1, 2, 3), keepdims=True)
    pictures = tuple(_beside(pair, str(k + 1)) for k, pair in enumerate(pairs))
    caption = (
        f"Unseen patches as the factors get them, evened in contrast (left), and as {model.active} factors explain "
        "them (right)."
    )
    return Exhibit("Patches explained", caption, "answers", pictures=pictures)


def _beside(pair: NDArray[Any], label: str) -> Picture:
    gap = np.ones((pair.shape[1], 1))
    page = np.concatenate([(pair[0] + 1) / 2, gap, (pair[1] + 1) / 2], 1)
    return Picture.of(np.kron(page, np.ones((4, 4))), label, 1.0)
