"""Predictive sparse decomposition: sparse coding with an encoder that learns to foresee the codes (§14.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.options import option
from gradus.data.batches import Batch
from gradus.estimators.unsupervised import UnsupervisedEstimator
from gradus.networks.hidden_units import ACTIVATIONS
from gradus.networks.initialization import initialize
from gradus.networks.preparation import Standardize
from gradus.research.autoencoders.base import AutoencoderAnswers
from gradus.research.autoencoders.losses import summed
from gradus.research.autoencoders.networks import AutoencoderNetwork
from gradus.research.autoencoders.outputs import OUTPUTS, Output
from gradus.training.losses import Loss, LossFunction

__all__ = [
    "Dictionary",
    "GainedEncoder",
    "PredictiveLoss",
    "PredictiveSparseDecomposition",
    "infer_codes",
    "psd_energy",
]


class GainedEncoder(nn.Module):
    """One layer with a gain for each unit: ``f(x) = g * tanh(W x + b)``, a guess at sparse codes of any size.

    Parameters
    ----------
    in_features, code : int
        Features of a row, and units of the code.
    activation : str
        A name in ``ACTIVATIONS``, instead of tanh.

    Examples
    --------
    >>> GainedEncoder(4, 6)(torch.zeros(2, 4)).shape
    torch.Size([2, 6])

    References
    ----------
    Kavukcuoglu et al. 2010, Fast Inference in Sparse Coding Algorithms, eq. 6.
    """

    def __init__(self, in_features: int, code: int, activation: str = "tanh") -> None:
        super().__init__()
        self.linear, self.unit = nn.Linear(in_features, code), ACTIVATIONS[activation]()
        initialize(self.linear, first=True)
        self.gain = nn.Parameter(torch.ones(code))
        self.in_features, self.out_features = in_features, code

    def forward(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch code"]:
        """Return the guesses."""
        return self.gain * self.unit(self.linear(inputs))


class Dictionary(nn.Module):
    """A linear decoder of atoms of length one: ``x = D h`` with ``‖D_j‖ = 1``; else codes would shrink as atoms grow.

    Parameters
    ----------
    code, features : int
        Atoms, and features of a row.

    Examples
    --------
    >>> [round(length, 4) for length in Dictionary(3, 5).atoms().norm(dim=0).tolist()]
    [1.0, 1.0, 1.0]
    """

    def __init__(self, code: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features, code))

    def atoms(self) -> Float[Tensor, "features code"]:
        """Return D."""
        return F.normalize(self.weight, dim=0)

    def forward(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch features"]:
        """Return the rows that codes stand for."""
        return F.linear(codes, self.atoms())


def psd_energy(
    atoms: Float[Tensor, "features code"],
    rows: Float[Tensor, "batch features"],
    codes: Float[Tensor, "batch code"],
    predicted: Float[Tensor, "batch code"],
    *,
    sparsity: float,
    prediction: float,
) -> Float[Tensor, " batch"]:
    """Return the energy of each row's code: ``½ ‖x - D h‖² + λ ‖h‖₁ + ½ γ ‖h - f(x)‖²``.

    Parameters
    ----------
    atoms : Tensor of shape (features, code)
        D.
    rows : Tensor of shape (batch, features)
        x.
    codes, predicted : Tensor of shape (batch, code)
        h, and the encoder's guess f(x).
    sparsity, prediction : float
        λ and γ, 0 or more.

    Examples
    --------
    >>> one = torch.ones(1, 1)
    >>> psd_energy(one, 3 * one, 2 * one, one, sparsity=0.1, prediction=1.0).tolist()
    [1.2000000476837158]

    References
    ----------
    Goodfellow et al. 2016, §14.8, eq. 14.19, with halves before the squares.
    """
    misfit = 0.5 * (rows - codes @ atoms.T).square().sum(1)
    return misfit + sparsity * codes.abs().sum(1) + 0.5 * prediction * (codes - predicted).square().sum(1)


def infer_codes(
    atoms: Float[Tensor, "features code"],
    rows: Float[Tensor, "batch features"],
    predicted: Float[Tensor, "batch code"],
    *,
    sparsity: float,
    prediction: float,
    n_iterations: int = 20,
) -> Float[Tensor, "batch code"]:
    """Return codes of low energy, from the guesses on: iterative shrinkage, of which no step raises the energy.

    ``h ← S_{λ/L}(h - (Dᵀ(D h - x) + γ (h - f(x))) / L)`` with ``S`` the soft threshold and ``L = ‖D‖² + γ``.

    Parameters
    ----------
    atoms, rows, predicted, sparsity, prediction
        As in :func:`psd_energy`.
    n_iterations : int
        Steps, 0 or more; 0 returns the guesses.

    Examples
    --------
    >>> codes = infer_codes(torch.eye(2), torch.tensor([[3.0, 0.2]]), torch.zeros(1, 2), sparsity=0.5, prediction=0.0)
    >>> codes.tolist()
    [[2.5, 0.0]]

    References
    ----------
    Goodfellow et al. 2016, §14.8; Daubechies et al. 2004 (iterative shrinkage).
    """
    features, width = atoms.shape
    gram = atoms.T @ atoms if width <= features else atoms @ atoms.T
    steepest = torch.linalg.eigvalsh(gram)[-1] + prediction
    square = gram if width <= features else None
    target = rows @ atoms + prediction * predicted
    codes = predicted
    for _ in range(n_iterations):
        # With many atoms, through the rows and back is less work than the square of all pairs of atoms.
        pulled = (codes @ atoms.T) @ atoms if square is None else codes @ square
        slope = pulled + prediction * codes - target
        moved = codes - slope / steepest
        codes = moved.sign() * (moved.abs() - sparsity / steepest).clamp_min(0)
    return codes


@dataclass(frozen=True, eq=False)
class PredictiveLoss:
    """The energy of codes inferred for each row: what atoms and encoder lower in turn with the inference.

    The codes are inferred first, from the encoder's guesses, and then held: the gradient moves D towards the rows and
    f(x) towards the codes.

    Parameters
    ----------
    sparsity, prediction : float
        λ and γ.
    n_iterations : int
        Steps of the inference.

    References
    ----------
    Goodfellow et al. 2016, §14.8, eq. 14.19.
    """

    sparsity: float
    prediction: float
    n_iterations: int

    def __call__(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the sums over the batch."""
        auto: Any = network
        clean = auto.prepare(batch["inputs"])
        weights = {"sparsity": self.sparsity, "prediction": self.prediction}
        predicted, atoms = auto.encoder(clean), auto.decoder.atoms()
        with torch.no_grad():
            codes = infer_codes(atoms, clean, predicted, **weights, n_iterations=self.n_iterations)
        return summed(psd_energy(atoms, clean, codes, predicted, **weights), batch)


@dataclass(kw_only=True, eq=False, repr=False)
class PredictiveSparseDecomposition(AutoencoderAnswers, UnsupervisedEstimator):
    """Sparse coding whose codes an encoder foresees, so that new rows need no search.

    It minimizes ``½ ‖x - D h‖² + λ ‖h‖₁ + ½ γ ‖h - f(x)‖²`` over codes h, atoms D and the encoder f in turn.
    `transform` answers with the encoder; `infer` with the sparse codes themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> images = load_digits().images
    >>> model = PredictiveSparseDecomposition(n_components=50, sparsity=0.5, max_epochs=10, random_state=0)
    >>> bool((model.fit(images).infer(images[:50]) == 0).mean() > 0.5)
    True

    References
    ----------
    Goodfellow et al. 2016, §14.8, eq. 14.19; Kavukcuoglu et al. 2010, Fast Inference in Sparse Coding Algorithms.
    """

    n_components: int = option(256, "atoms, and units of the code", unit="units", low=1)
    sparsity: float = option(0.1, "weight of the sum of absolute codes", low=0)
    prediction: float = option(1.0, "weight of the squared distance between codes and the encoder's guesses", low=0)
    n_iterations: int = option(20, "steps of the inference of a batch's codes", low=0)
    activation: Literal["tanh", "sigmoid", "relu", "identity"] = option("tanh", "activation of the encoder")
    scaling: Literal["auto", "standardize", "range", "none"] = option(
        "auto", "what is done to features first; auto: range for pictures, else standardize"
    )

    def _build(self) -> nn.Module:
        features = int(np.prod(self.row_shape_))
        prepare = Standardize(torch.from_numpy(self.input_shift_), torch.from_numpy(self.input_scale_))
        encoder = GainedEncoder(features, self.n_components, self.activation)
        return AutoencoderNetwork(prepare, encoder, Dictionary(self.n_components, features))

    def _loss(self, network: nn.Module) -> LossFunction:
        return PredictiveLoss(self.sparsity, self.prediction, self.n_iterations)

    def _output(self) -> Output:
        return OUTPUTS["gaussian"]

    def infer(self, X: Any, n_iterations: int = 200) -> np.ndarray:
        """Return the sparse code of each row, searched for from the encoder's guess on, shape (n, n_components).

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows as `fit` got them.
        n_iterations : int
            Steps of iterative shrinkage.
        """
        check_is_fitted(self)
        weights = self._weights()

        def codes(network: Any, rows: Tensor) -> Tensor:
            clean = network.prepare(rows)
            guess, atoms = network.encoder(clean), network.decoder.atoms()
            return infer_codes(atoms, clean, guess, **weights, n_iterations=n_iterations)

        return self._answers(X, codes, double=self._exactly)

    def energy(self, X: Any, n_iterations: int = 200) -> np.ndarray:
        """Return the energy of each row's inferred code, shape (n,).

        Parameters
        ----------
        X, n_iterations
            As in `infer`; with 0 steps it is that of the encoder's guesses.
        """
        check_is_fitted(self)
        weights = self._weights()

        def energies(network: Any, rows: Tensor) -> Tensor:
            clean = network.prepare(rows)
            guess, atoms = network.encoder(clean), network.decoder.atoms()
            found = infer_codes(atoms, clean, guess, **weights, n_iterations=n_iterations)
            return psd_energy(atoms, clean, found, guess, **weights)

        return self._answers(X, energies, double=self._exactly)

    def _weights(self) -> dict[str, float]:
        return {name: self.network_settings_[name] for name in ("sparsity", "prediction")}
