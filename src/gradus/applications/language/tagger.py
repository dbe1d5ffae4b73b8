"""A label for each token: parts of speech, names, word boundaries, lost capitals or accents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.applications.language.tagging import Tagging, tagged_rows, vocabulary_of
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch
from gradus.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gradus.estimators.exhibits import Exhibit, confusion_matrix, learning_curves, per_class
from gradus.estimators.gradient import GradientEstimator
from gradus.estimators.inputs import check_weights
from gradus.training.losses import Loss, LossFunction
from gradus.training.options import OptimizerName

__all__ = ["SequenceTagger", "tagging_loss"]

# Tokens, padding included, that go through the network at once outside training.
ANSWERED_TOKENS = 16_384


def tagging_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
    """Return minus the log-probability of each sequence's labels, in nats, summed; counted are labelled tokens.

    A target below 0 is a token without a label (padding is one): it says nothing and does not count.

    Examples
    --------
    >>> network = Tagging(5, 2, width=8)
    >>> _ = nn.init.zeros_(network.output.weight), nn.init.zeros_(network.output.bias)
    >>> targets = torch.tensor([[0, 1, -1], [1, -1, -1]])
    >>> batch = {"inputs": torch.ones(2, 3, dtype=torch.int64), "lengths": torch.tensor([3, 1]), "targets": targets}
    >>> loss = tagging_loss(network, batch, torch.Generator())
    >>> round(loss.total.item() / float(loss.count), 4), float(loss.count)  # log 2
    (0.6931, 3.0)
    """
    total, count, _ = _measured(network, batch)
    return Loss(total, count, {})


def _measured(network: Any, batch: Batch, *, score: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of nats and of right labels, and how many labels count, weights included."""
    longest = int(batch["lengths"].max())
    targets, lengths = batch["targets"][:, :longest], batch["lengths"]
    emissions = network(batch["inputs"][:, :longest], lengths)
    emissions = emissions.to(torch.promote_types(emissions.dtype, torch.float32))
    labelled = targets >= 0
    weights = batch.get("weights")
    each = labelled.to(emissions.dtype)
    if weights is not None:
        each = each * weights.unsqueeze(1)
    if network.chain is None:
        nats = F.cross_entropy(emissions.mT, targets.clamp_min(0), reduction="none")
        total = (nats * each).sum()
    else:
        known = F.one_hot(targets.clamp_min(0), emissions.shape[2]).bool() | ~labelled.unsqueeze(2)
        gaps = network.chain.log_partition(emissions, lengths)
        gaps = gaps - network.chain.log_partition(emissions, lengths, known)
        total = gaps.sum() if weights is None else (gaps * weights).sum()
    if not score:
        return total, each.sum(), total
    said = network.labels(emissions, lengths)
    return total, each.sum(), ((said == targets) * each).sum()


@dataclass(kw_only=True, eq=False, repr=False)
class SequenceTagger(CallbackSupportMixin, GradientEstimator):
    """Give each token of a sequence a label.

    A sequence is a text, cut at white space or into characters; a list of tokens; an array of token numbers; or an
    array of shape (time, features). Its labels are a sequence of the same length, for a text of characters also a
    string; ``None`` marks a token without a label, from which nothing is learned. Every token is judged by what
    stands before and after it. What is answered for a sequence does not depend on the others in the call.

    With ``structured=True`` the labels form a chain in which neighbours depend on each other, and the most probable
    sequence of labels is answered, not the most probable label of each token.

    Examples
    --------
    >>> X = [["the", "cat", "sat"], ["the", "dog", "sat", "down"], ["dog", "sat"]] * 6
    >>> y = [["D", "N", "V"], ["D", "N", "V", "P"], ["N", "V"]] * 6
    >>> model = SequenceTagger(width=16, max_epochs=30, learning_rate=0.03, dropout=0.0, random_state=0).fit(X, y)
    >>> model.predict([["the", "cat", "sat", "down"]])
    [['D', 'N', 'V', 'P']]

    References
    ----------
    Goodfellow et al. 2016, §10.3 (bidirectional networks), §10.2 (an output a step); Collobert et al. 2011, Natural
    Language Processing (Almost) from Scratch.
    """

    network: Literal["lstm", "gru", "transformer"] = option("lstm", "what reads the tokens, both ways")
    cut: Literal["words", "characters"] = option("words", "what a text is cut into: at white space, or everywhere")
    vocabulary: int = option(20_000, "tokens to learn, at most; rarer ones are one unknown token", low=2)
    min_count: int = option(2, "times a token must come to be learned; those of fewer teach the unknown one", low=1)
    structured: bool = option(False, "let neighbouring labels depend on each other")
    context: int = option(512, "longest sequence a transformer reads", unit="tokens", low=1)
    width: int = option(128, "width of embeddings and features", unit="units", low=2)
    layers: int = option(1, "recurrent layers or transformer blocks", low=1)
    heads: int = option(4, "attention heads of each transformer block", low=1)
    dropout: float = option(0.2, "share of units dropped in training", low=0, high=0.95)
    batch_size: int = option(32, "sequences a parameter update", unit="sequences", low=1)
    max_epochs: int = option(20, "most passes over the training data", unit="epochs", low=0)
    optimizer: OptimizerName = option("adamw", "rule that turns gradients into updates")
    learning_rate: float = option(3e-3, "step size at the top of the schedule", above=0)
    gradient_clip: float | None = option(1.0, "largest norm of the whole gradient", above=0)

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Learn the labels.

        Parameters
        ----------
        X : sequence of texts, of lists of tokens, or of arrays
            Sequences, of any lengths of 1 or more.
        y : sequence of sequences
            The labels of each, as many as it has tokens; ``None`` where there is none.
        sample_weight : array-like of shape (n,), optional
            Weight of each sequence, 0 or more.
        X_val, y_val : sequences, optional
            Validation data, which early stopping follows.

        Returns
        -------
        self
            The fitted tagger.

        Raises
        ------
        InputError
            If a sequence is empty, has not as many labels as tokens, or there is only one label in all.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        rows = tagged_rows(X, self.cut)
        if reset:
            self.features_ = rows[0].shape[1] if isinstance(rows[0], np.ndarray) and rows[0].ndim == 2 else 0
            self._learn_tokens(rows)
        ids = {token: i for i, token in enumerate(self.tokens_ or (), 1)}
        encoded = [self._numbers(row, ids) for row in rows]
        lengths = np.array([len(row) for row in encoded])
        self._check_longest(int(lengths.max()))
        shape = (len(rows), int(lengths.max()), *encoded[0].shape[1:])
        inputs = np.zeros(shape, dtype=encoded[0].dtype)
        inside = np.arange(shape[1]) < lengths[:, None]
        inputs[inside] = np.concatenate(encoded)
        batch = {"inputs": torch.from_numpy(inputs), "lengths": torch.from_numpy(lengths)}
        if y is None:
            if reset:
                raise InputError("labels y", "none", "pass a sequence of labels for each sequence")
            return batch
        labels = self._labels(y, lengths, reset=reset)
        targets = np.full(shape[:2], -1, dtype=np.int64)
        targets[inside] = labels
        batch["targets"] = torch.from_numpy(targets)
        weights = check_weights(sample_weight)
        if weights is not None:
            if len(weights) != len(rows):
                raise InputError(f"{len(rows)} sample weights", str(len(weights)), "give one for each sequence")
            batch["weights"] = weights
        return batch

    def _learn_tokens(self, rows: Sequence[Any]) -> None:
        self.tokens_: list[str] | None = None
        self.numbers_ = 0
        if self.features_:
            values = np.concatenate(rows)
            self.mean_, self.deviation_ = values.mean(0), values.std(0)
            self.deviation_ = np.where(self.deviation_ > 0, self.deviation_, 1.0)
        elif isinstance(rows[0], np.ndarray):
            self.numbers_ = 1 + max(int(row.max()) for row in rows)
        else:
            self.tokens_ = vocabulary_of(rows, self.vocabulary, self.min_count)

    def _numbers(self, row: Any, ids: dict[str, int]) -> np.ndarray:
        """Return one sequence as the network reads it: numbers of tokens, 0 for an unknown one, or features."""
        given = "features" if isinstance(row, np.ndarray) and row.ndim == 2 else "tokens"
        if isinstance(row, np.ndarray) and row.ndim == 1:
            given = "numbers"
        known = "features" if self.features_ else "tokens" if self.tokens_ is not None else "numbers"
        if given != known or (known == "features" and row.shape[1] != self.features_):
            what = f"{known} of width {self.features_}" if known == "features" else known
            raise InputError(f"sequences of {what}, as in fit", f"{given}", "pass what the tagger was fitted on")
        if known == "features":
            return ((row - self.mean_) / self.deviation_).astype(np.float32)
        if known == "numbers":
            return np.where(row < self.numbers_, row + 1, 0).astype(np.int64)
        return np.fromiter((ids.get(token, 0) for token in row), np.int64, len(row))

    def _check_longest(self, longest: int) -> None:
        if self.network == "transformer" and longest > self.context:
            mend = f"set context={longest}, cut the sequences, or use network='lstm'"
            raise InputError(f"sequences of at most context={self.context} tokens", str(longest), mend)

    def _labels(self, y: Any, lengths: np.ndarray, *, reset: bool) -> np.ndarray:
        """Return the labels of all sequences in a row, as numbers of classes, -1 where there is none."""
        rows = [list(row) for row in y]
        if len(rows) != len(lengths):
            raise InputError(f"labels of {len(lengths)} sequences", str(len(rows)), "give as many as there are")
        wrong = next((i for i, row in enumerate(rows) if len(row) != lengths[i]), None)
        if wrong is not None:
            received = f"{len(rows[wrong])} for sequence {wrong}"
            raise InputError(f"{lengths[wrong]} labels, one a token", received, "mark tokens without one by None")
        flat = [label.item() if isinstance(label, np.generic) else label for row in rows for label in row]
        if reset:
            found = {label for label in flat if label is not None}
            if len(found) < 2 or len({type(label) for label in found}) > 1:
                received = ", ".join(sorted(map(repr, found))[:5]) or "none"
                raise InputError("two labels or more, all text or all numbers", received, "check y")
            self.classes_ = np.array(sorted(found))
        order = {label: i for i, label in enumerate(self.classes_.tolist())}
        strange = next((label for label in flat if label is not None and label not in order), None)
        if strange is not None:
            raise InputError(f"labels among the {len(order)} of fit", repr(strange), "fit on data that have it")
        return np.array([-1 if label is None else order[label] for label in flat], dtype=np.int64)

    def _build(self) -> nn.Module:
        size = 0 if self.features_ else (self.numbers_ or len(self.tokens_ or ())) + 1
        if self.width % 2 and self.network != "transformer":
            raise SettingError("an even width, half for each direction", str(self.width), f"set width={self.width + 1}")
        return Tagging(
            size,
            len(self.classes_),
            self.network,
            features=self.features_,
            context=self.context,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
            structured=self.structured,
        )

    def _loss(self, network: nn.Module) -> LossFunction:
        return tagging_loss

    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        total, count, right = _measured(network, batch, score=True)
        return total, right, count

    # -- answering -----------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _answered(self, X: Any, *, probabilities: bool) -> list[np.ndarray]:
        """Return each sequence's labels as numbers, or the probabilities of all."""
        check_is_fitted(self)
        batch = self._encode(X)
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        # Sequences of like length go together, so that little padding is computed.
        order = batch["lengths"].argsort(stable=True)
        found: list[Any] = [None] * len(order)
        place = 0
        with threads(min(self.n_threads_, cores())):
            while place < len(order):
                rows = order[place : place + max(1, ANSWERED_TOKENS // int(batch["lengths"][order[place]]))]
                longest = int(batch["lengths"][rows[-1]])
                rows = rows[: max(1, ANSWERED_TOKENS // longest)]
                lengths = batch["lengths"][rows]
                longest = int(lengths.max())
                emissions = network(batch["inputs"][rows, :longest].to(device), lengths.to(device)).float()
                ask = network.probabilities if probabilities else network.labels
                answers = ask(emissions, lengths.to(device)).cpu().numpy()
                for row, length, answer in zip(rows.tolist(), lengths.tolist(), answers, strict=True):
                    found[row] = answer[:length]
                place += len(rows)
        return found

    def predict(self, X: Any) -> list[list[Any]]:
        """Return the labels of each sequence, one a token.

        Parameters
        ----------
        X : sequence of texts, of lists of tokens, or of arrays
            Sequences as in `fit`.
        """
        return [self.classes_[labels].tolist() for labels in self._answered(X, probabilities=False)]

    def predict_proba(self, X: Any) -> list[np.ndarray]:
        """Return for each sequence the probability of each label at each token, arrays of shape (time, classes).

        With ``structured=True`` they are marginals: sums over all sequences of labels that have this one there.
        """
        return self._answered(X, probabilities=True)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of labelled tokens whose label is right."""
        check_is_fitted(self)
        rows = [list(row) for row in y]
        said = self.predict(X)
        if list(map(len, rows)) != list(map(len, said)):
            raise InputError("as many labels as tokens", "other lengths", "mark tokens without one by None")
        weights = np.ones(len(rows)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        right = total = 0.0
        for weight, truth, answer in zip(weights, rows, said, strict=True):
            judged = [a == b for a, b in zip(truth, answer, strict=True) if a is not None]
            right, total = right + weight * sum(judged), total + weight * len(judged)
        if not total:
            raise InputError("one label or more", "none", "pass labels to compare with")
        return right / total

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield how training went, and for ``data = (X, y)`` which labels are taken for which."""
        check_is_fitted(self)
        yield learning_curves(self.history_, self.best_epoch_)
        X, y = data
        pairs = [
            (truth, said)
            for truths, answers in zip(y, self.predict(X), strict=True)
            for truth, said in zip(truths, answers, strict=True)
            if truth is not None
        ]
        truths, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        yield confusion_matrix(truths, answers, self.classes_)
        yield per_class(truths, answers, self.classes_)

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that sequences come in, and sequences of labels."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.target_tags.required = True
        return tags
