"""Greedy layer-wise pretraining (§15.1): autoencoders, each on the codes of the one before, then a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from sklearn.utils.validation import has_fit_parameter
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.core.options import option
from gradus.core.randomness import derive
from gradus.data.batches import Batch
from gradus.estimators.classification import GradientClassifier
from gradus.estimators.gradient import replace_options
from gradus.estimators.unsupervised import FlatRows
from gradus.networks.ensemble import EnsembleBody
from gradus.networks.feedforward import MLP
from gradus.networks.headed import HeadedNetwork
from gradus.networks.heads import Head
from gradus.networks.preparation import Standardize
from gradus.research.autoencoders.base import row_scales
from gradus.research.autoencoders.corruption import NoiseName
from gradus.research.autoencoders.estimators import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from gradus.research.autoencoders.networks import DenseEncoder

__all__ = ["Pretrained", "PretrainedClassifier", "PretrainingOptions", "copy_stack_", "greedy_pretraining", "knowing"]


def greedy_pretraining(autoencoders: Sequence[Any], X: Any, sample_weight: Any = None) -> list[Any]:
    """Fit a stack of autoencoders, the first on the rows, each other on the codes of the one before.

    Parameters
    ----------
    autoencoders : sequence of estimators
        Anything with `fit` and `transform`, first layer first. They are fitted themselves, no copies of them.
    X : array-like of shape (n, ...)
        Rows; no targets are needed.
    sample_weight : array-like of shape (n,), optional
        Weight of each row, for those that take weights.

    Returns
    -------
    list
        The fitted autoencoders.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> rows = load_digits().data
    >>> stack = [DenoisingAutoencoder(n_components=40, max_epochs=3), Autoencoder(n_components=20, max_epochs=3)]
    >>> first, second = greedy_pretraining(stack, rows)
    >>> second.transform(first.transform(rows)).shape
    (1797, 20)

    References
    ----------
    Goodfellow et al. 2016, §15.1, algorithm 15.1; Bengio et al. 2007; Vincent et al. 2010 (stacked denoising).
    """
    if not autoencoders:
        raise InputError("one autoencoder or more", "none", "pass for example [DenoisingAutoencoder()]")
    rows = X
    for index, layer in enumerate(autoencoders):
        weighted = sample_weight is not None and has_fit_parameter(layer, "sample_weight")
        layer.fit(rows, **({"sample_weight": sample_weight} if weighted else {}))
        if index + 1 < len(autoencoders):
            rows = layer.transform(rows)
    return list(autoencoders)


def copy_stack_(layers: Sequence[nn.Linear], autoencoders: Sequence[Any]) -> None:
    """Give affine layers, in place, the weights of the encoders of a fitted stack.

    Parameters
    ----------
    layers : sequence of Linear
        Those of a network, first to last; there may be more than the stack has.
    autoencoders : sequence of estimators
        Fitted dense autoencoders.

    Raises
    ------
    InputError
        If an encoder is not dense, there are too few layers, or they have other sizes.

    Examples
    --------
    >>> from gradus.networks import MLP
    >>> rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).numpy()
    >>> stack = greedy_pretraining([DenoisingAutoencoder(n_components=4, max_epochs=1)], rows)
    >>> body = MLP(6, (4,), activation="sigmoid")
    >>> copy_stack_([body.layers[0]], stack)
    >>> bool((body.layers[0].weight == stack[0].network_.encoder.layers[0].weight).all())
    True

    References
    ----------
    Goodfellow et al. 2016, §15.1, algorithm 15.1.
    """
    learned: list[nn.Linear] = []
    for layer in autoencoders:
        encoder = layer.network_.encoder
        if not isinstance(encoder, DenseEncoder):
            raise InputError("dense encoders", type(encoder).__name__, "set network='mlp' in each autoencoder")
        learned += encoder.affine
    shapes, wanted = ([tuple(m.weight.shape) for m in ms] for ms in (layers[: len(learned)], learned))
    if shapes != wanted:
        raise InputError(f"layers of shapes {wanted}", str(shapes), "give the network the widths of the stack")
    with torch.no_grad():
        for ours, theirs in zip(layers, learned, strict=False):
            ours.weight.copy_(theirs.weight)
            ours.bias.copy_(theirs.bias)


@dataclass(kw_only=True, eq=False, repr=False)
class PretrainingOptions:
    """How the layers of a perceptron begin (§15.1)."""

    hidden: tuple[int, ...] = option((500,), "units in each hidden layer", unit="units", low=1)
    activation: Literal["sigmoid", "tanh", "softplus", "relu"] = option("tanh", "hidden units")
    dropout: float = option(0.0, "share of hidden units dropped in fine-tuning", low=0, high=0.95)
    input_dropout: float = option(0.0, "share of inputs dropped in fine-tuning", low=0, high=0.95)
    scaling: Literal["auto", "standardize", "range", "none"] = option(
        "auto", "what is done to features first; auto: range for pictures, else standardize"
    )
    pretraining: Literal["contractive", "denoising", "autoencoder", "none"] = option(
        "contractive", "kind of autoencoder by which each layer begins; none: a plain perceptron"
    )
    pretrain_epochs: int = option(30, "passes over the rows for each layer", unit="epochs", low=0)
    pretrain_learning_rate: float = option(1e-3, "learning rate of pretraining", above=0)
    pretrain_l2: float = option(0.0, "penalty on half the sum of squared weights in pretraining", low=0)
    tied: bool = option(True, "decode with the transposed weights of the encoder in pretraining")
    contraction: float = option(0.1, "weight of the code's Jacobian in contractive pretraining", low=0)
    noise: NoiseName = option("masking", "what denoising pretraining does to the rows shown")
    noise_level: float = option(
        0.25, "probability that a feature is hit, or standard deviation of gaussian noise in scaled units", low=0
    )


class Pretrained(FlatRows):
    """A perceptron on flat rows whose layers begin as those of a stack; `GradientClassifier` comes after it."""

    # Beyond the fit of other classifiers this one takes rows without labels, which have no place in X and y.
    def fit(
        self: Any,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        X_unlabeled: Any = None,
    ) -> Any:
        """Pretrain the layers, then train the whole.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Training rows, of a table or pictures.
        y : array-like of shape (n,)
            Their classes.
        sample_weight : array-like of shape (n,), optional
            Weight of each row.
        X_val, y_val : array-like, optional
            Validation data, which early stopping follows.
        X_unlabeled : array-like of shape (m, ...), optional
            Further rows for pretraining.

        Returns
        -------
        self
            The fitted estimator.
        """
        with knowing(self, X_unlabeled):
            return super().fit(X, y, sample_weight, X_val, y_val)  # type: ignore[misc]

    def _partial_fit(self: Any, *given: Any, **more: Any) -> Any:
        with knowing(self, None):
            return super()._partial_fit(*given, **more)  # type: ignore[misc]

    def _encode_inputs(self: Any, X: Any, weights: Tensor | None, *, reset: bool) -> Batch:
        table = self._encode_rows(X, reset=reset)
        if reset:
            more = getattr(self, "_unlabelled", None)
            extra = None if more is None else self._encode_rows(more, reset=False)
            used = weights if weights is None or len(weights) == len(table) else None
            # Scales are those of all rows: features of a few labelled ones may never vary.
            every = table if extra is None else torch.cat([table, extra])
            joined = used if used is None or extra is None else torch.cat([used, used.new_ones(len(extra))])
            self.input_shift_, self.input_scale_ = row_scales(every, joined, self.scaling, len(self.row_shape_) > 1)
            self._to_pretrain = every, joined
        return {"inputs": table}

    def _network(self: Any, head_of: Callable[[int], Head]) -> nn.Module:
        prepare = Standardize(torch.from_numpy(self.input_shift_), torch.from_numpy(self.input_scale_))
        drops = {"dropout": self.dropout, "input_dropout": self.input_dropout}
        body = MLP(len(self.input_shift_), self.hidden, activation=self.activation, **drops)
        return HeadedNetwork(prepare, body, head_of(body.out_features))

    def _make_network(self: Any) -> nn.Module:
        network: Any = super()._make_network()  # type: ignore[misc]
        rows, weights = self.__dict__.pop("_to_pretrain", (None, None))
        if self.pretraining == "none" or not self.hidden:
            return network
        bodies = network.body.members if isinstance(network.body, EnsembleBody) else [network.body]
        if rows is not None:
            with torch.no_grad():
                scaled = network.prepare(rows)
            self._stacks = [self._pretrain(scaled, weights, member) for member in range(len(bodies))]
        for body, stack in zip(bodies, getattr(self, "_stacks", []), strict=False):
            copy_stack_([layer for layer in body.layers if isinstance(layer, nn.Linear)], stack)
        return network

    def _pretrain(self: Any, rows: Tensor, weights: Tensor | None, member: int) -> list[Any]:
        """Return the fitted autoencoders of every hidden layer."""
        shares = bool(rows.min() >= -1e-6) and bool(rows.max() <= 1 + 1e-6)
        stack = []
        for index, units in enumerate(self.hidden):
            between = self.activation == "sigmoid" if index else shares
            stack.append(self._layer(units, "bernoulli" if between else "gaussian", f"{member}-{index}"))
        given = None if weights is None else weights.numpy()
        return greedy_pretraining(stack, rows.clamp(0, 1).numpy() if shares else rows.numpy(), given)

    def _layer(self: Any, units: int, output: Any, name: str) -> Any:
        """Return the unfitted autoencoder of one layer."""
        budget = {"max_epochs": self.pretrain_epochs, "max_steps": None, "max_time": None, "early_stopping": False}
        plain = {"optimizer": "adam", "schedule": "constant", "warmup_steps": 0, "accumulate": 1, "retrain": "none"}
        penalties = {"l1": 0.0, "l2": self.pretrain_l2, "weight_decay": 0.0, "max_norm": None, "weight_noise": 0.0}
        own = {"learning_rate": self.pretrain_learning_rate, "average_decay": 0.0, "gradient_clip": None}
        seed = derive(self.seed_, "pretraining", name) % 2**32
        folder = None if self.checkpoint is None else str(Path(self.checkpoint) / "pretraining" / name)
        options = replace_options(
            self, **budget, **plain, **penalties, **own, random_state=seed, checkpoint=folder, verbose=False
        )
        settings = vars(options) | {"n_components": units, "hidden": (), "code_activation": self.activation}
        settings |= {"tied": self.tied, "output": output, "scaling": "none"}
        if self.pretraining == "contractive":
            return ContractiveAutoencoder(**settings, contraction=self.contraction)
        if self.pretraining == "denoising":
            return DenoisingAutoencoder(**settings, noise=self.noise, noise_level=self.noise_level)
        return Autoencoder(**settings)


@dataclass(kw_only=True, eq=False, repr=False)
class PretrainedClassifier(Pretrained, PretrainingOptions, GradientClassifier):
    """Perceptron for classes whose layers are first trained without them, one after the other, as autoencoders.

    Of many rows with few labels it learns more than from the labels alone: pass the others as ``X_unlabeled``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits().images, load_digits().target
    >>> model = PretrainedClassifier(hidden=(100,), pretrain_epochs=10, learning_rate=3e-3, random_state=0)
    >>> bool(model.fit(X[:200], y[:200], X_unlabeled=X[200:1500]).score(X[1500:], y[1500:]) > 0.75)
    True

    References
    ----------
    Goodfellow et al. 2016, §15.1, algorithm 15.1; Erhan et al. 2010, Why Does Unsupervised Pre-training Help Deep
    Learning?
    """


@contextmanager
def knowing(estimator: Any, unlabelled: Any) -> Iterator[None]:
    """Let a fit inside the block find rows without labels; what it kept to pretrain with is forgotten after it."""
    if unlabelled is not None:
        estimator._unlabelled = unlabelled
    try:
        yield
    finally:
        for name in ("_unlabelled", "_to_pretrain", "_stacks"):
            estimator.__dict__.pop(name, None)
