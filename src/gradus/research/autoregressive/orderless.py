"""NADE for every order of the columns, as an estimator: exact likelihoods, and answers about rows seen in part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import generator, resolve_seed
from gradus.estimators.unsupervised import DrawingEstimator
from gradus.research.autoregressive.bit_models import Activation
from gradus.research.autoregressive.orderless_network import OrderlessBits
from gradus.research.autoregressive.rows import DiscreteRows
from gradus.research.generative.binarization import full_pixel
from gradus.research.generative.scoring import exact_or_fast

__all__ = ["OrderlessNADE"]


@dataclass(kw_only=True, eq=False, repr=False)
class OrderlessNADE(DiscreteRows, DrawingEstimator):
    r"""NADE that is trained in all orders of the columns at once, and can be asked in any.

    The network reads bits and a mask that says which are seen, and is trained on random masks m by one pass each:

    .. math::
        -\log p(x) \approx -\frac{D}{D - |m|} \sum_{j: m_j = 0} \log p(x_j \mid x_m)

    So it knows every conditional: a row with gaps has a likelihood, and gaps can be filled. Likelihoods are exact in a
    given order, and by default those of the equal mixture of ``orders`` random ones (EoNADE).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = (load_digits().images > 7).astype(float)
    >>> model = OrderlessNADE(hidden=(100,), max_epochs=30, learning_rate=0.01, random_state=0).fit(X[:1500])
    >>> bool(model.score(X[1500:]) > -20)  # nats; independent pixels reach -24.6
    True
    >>> half = X[:1].copy()
    >>> half[:, 4:] = np.nan
    >>> model.impute(half, random_state=0).shape, model.score_samples(half).shape
    ((1, 8, 8), (1,))

    References
    ----------
    Uria, Murray & Larochelle 2014, A Deep and Tractable Density Estimator; Goodfellow et al. 2016, §20.10.10.
    """

    hidden: tuple[int, ...] = option((500,), "units of each hidden layer, one layer or more", unit="units", low=1)
    activation: Activation = option("relu", "hidden units")
    orders: int = option(4, "random orders that likelihoods average and samples take in turn", unit="orders", low=1)

    def _learn_levels(self, rows: Tensor) -> tuple[int, float]:
        return 2, full_pixel(rows, self.pixel_scale)

    def _build(self) -> OrderlessBits:
        return OrderlessBits(self._mean(), self.hidden, self.activation, sets=self.orders)

    # -- answers -------------------------------------------------------------------------------------------------

    def score_samples(self, X: Any, order: Any = None) -> np.ndarray:
        """Return ``log p(x)`` of each row, exactly, in nats; of a row with gaps, that of the columns it has.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as those of `fit`; NaN marks a value that is missing. Then it counts as last in each order.
        order : array-like of int of shape (columns,) or (k, columns), optional
            Columns of a flat row, first to last, or several such orders, whose probabilities are averaged; the model's
            own by default.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        InputError
            If rows hold other values, such as grey pixels, or an order leaves out a column.
        """
        rows, known = self._known_rows(X)
        orders = self._orders(order)
        double = exact_or_fast(self.network_, len(rows), len(orders), rows.shape[1])

        def answer(network: OrderlessBits, part: Tensor, seen: Tensor) -> Tensor:
            return network.known_log_prob(part, seen, orders.to(part.device))

        return self._ask({"inputs": rows, "known": known}, answer, double=double).double().numpy()

    def conditionals(self, X: Any, order: Any = None) -> np.ndarray:
        """Return the probability of a one in each column given the known columns before it in an order.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows, as for `score_samples`.
        order : array-like of int of shape (columns,), optional
            Columns, first to last; the first of the model's own by default.

        Returns
        -------
        ndarray of shape (n, ...)
        """
        rows, known = self._known_rows(X)
        first = self._orders(order)[0]

        def answer(network: OrderlessBits, part: Tensor, seen: Tensor) -> Tensor:
            return torch.sigmoid(network.in_order(part, first.to(part.device), seen))

        return self._rows(self._ask({"inputs": rows, "known": known}, answer, double=True))

    def missing_probabilities(self, X: Any) -> np.ndarray:
        """Return the probability of a one in each gap given all that is known of the row, each gap for itself.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows with NaN for what is missing.

        Returns
        -------
        ndarray of shape (n, ...)
            Probabilities in the gaps; 0 and 1 elsewhere.
        """
        rows, known = self._known_rows(X)

        def answer(network: OrderlessBits, part: Tensor, seen: Tensor) -> Tensor:
            return torch.where(seen > 0, part, torch.sigmoid(network.given(part, seen)))

        return self._rows(self._ask({"inputs": rows, "known": known}, answer, double=True))

    def impute(self, X: Any, random_state: Any = None) -> np.ndarray:
        """Return rows whose gaps are drawn together, given all that is known of the row.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows with NaN for what is missing.
        random_state : int or NumPy generator, optional
            Seed of the draws.

        Returns
        -------
        ndarray of shape (n, ...)
            Bits as 0 and a full pixel.
        """
        rows, known = self._known_rows(X)
        drawing = generator(resolve_seed(random_state), next(self.network_.parameters()).device)

        def answer(network: OrderlessBits, part: Tensor, seen: Tensor) -> Tensor:
            return network.complete(part, seen, drawing) * self.full_

        return self._rows(self._ask({"inputs": rows, "known": known}, answer))

    def _known_rows(self, X: Any) -> tuple[Tensor, Tensor]:
        """Return rows as the network reads them, gaps filled with zeros, and 1 where there is none."""
        check_is_fitted(self)
        gaps = np.isnan(np.asarray(X, dtype=np.float64))
        if gaps.any():
            X = X.where(X.notna(), 0) if hasattr(X, "notna") else np.where(gaps, 0, X)
        rows = self._scored_rows(X)
        return rows, torch.from_numpy(~gaps).reshape(len(rows), -1).to(rows.dtype)

    def _orders(self, order: Any) -> Tensor:
        """Check orders and return them, of shape (k, columns); the model's own where none are given."""
        if order is None:
            network: Any = self.network_
            return network.orders().cpu()
        array, columns = np.atleast_2d(np.asarray(order)), int(np.prod(self.row_shape_))
        whole = array.ndim == 2 and len(array) > 0 and np.issubdtype(array.dtype, np.integer)
        if not whole or array.shape[1] != columns or (np.sort(array, 1) != np.arange(columns)).any():
            mend = "pass for example np.random.default_rng(0).permutation(columns)"
            raise InputError(f"an order of the columns 0 to {columns - 1}, each once", f"{order!r:.60}", mend)
        return torch.from_numpy(array.astype(np.int64))
