"""From one sequence of tokens to another: translation, spelling to sound, transcription of any kind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from gradus.applications.language.texts import texts_of
from gradus.applications.language.tokenizers import Tokenizer, TokenizerName, fit_tokenizer
from gradus.applications.language.translation import (
    AttentionMap,
    Candidate,
    attention_heatmap,
    cross_attention,
    edit_distance,
    measured,
    scored,
    searched,
    translation_loss,
)
from gradus.core.errors import InputError, SettingError
from gradus.core.options import option
from gradus.core.threads import cores, threads
from gradus.data.batches import Batch
from gradus.estimators.callbacks import CallbackSupportMixin, with_callbacks
from gradus.estimators.exhibit import Exhibit
from gradus.estimators.exhibits import learning_curves
from gradus.estimators.gradient import GradientEstimator
from gradus.estimators.inputs import check_weights
from gradus.networks.decoding import Beams
from gradus.networks.recurrent.seq2seq import Seq2Seq, Translation
from gradus.networks.transformer_pair import EncoderDecoderTransformer
from gradus.training.losses import LossFunction
from gradus.training.options import OptimizerName

__all__ = ["AttentionMap", "Candidate", "Translator", "edit_distance", "translation_loss"]

# Tokens of sources, padding included, that are answered at once.
ANSWERED_TOKENS = 4096
EXHIBITED = 3


@dataclass(kw_only=True, eq=False, repr=False)
class Translator(CallbackSupportMixin, GradientEstimator):
    """Learn to turn texts into other texts from pairs of them.

    An encoder reads the source, a decoder writes the target token by token and looks at the source as it does. The
    answer is found by beam search.

    Examples
    --------
    >>> sources = ["ab", "ba", "abc", "cab", "bc", "acb"] * 10
    >>> targets = [text.upper() for text in sources]
    >>> model = Translator(width=32, max_epochs=40, learning_rate=0.01, dropout=0.0, random_state=0)
    >>> model = model.fit(sources, targets)
    >>> model.predict(["cab", "ab"]).tolist()
    ['CAB', 'AB']

    References
    ----------
    Goodfellow et al. 2016, §10.4, §12.4.5; Bahdanau et al. 2015 (additive attention); Vaswani et al. 2017.
    """

    network: Literal["lstm", "gru", "transformer"] = option("gru", "kind of network that reads and writes")
    attention: Literal["additive", "dot", "none"] = option("additive", "how a recurrent decoder looks at the source")
    source_tokens: TokenizerName = option("characters", "what a source is cut into")
    target_tokens: TokenizerName = option("characters", "what a target is cut into")
    vocabulary: int = option(8000, "tokens to learn on each side, at most, with words, spaces or byte_pair", low=2)
    width: int = option(128, "width of embeddings and hidden layers", unit="units", low=1)
    layers: int = option(1, "recurrent layers or transformer blocks, of encoder and decoder each", low=1)
    heads: int = option(4, "attention heads of each transformer block", low=1)
    dropout: float = option(0.1, "share of units dropped in training", low=0, high=0.95)
    beam: int = option(
        4, "beginnings that the search for an answer keeps; 1 takes the likeliest token each time", low=1
    )
    length_penalty: float = option(0.0, "preference of the search for long answers", low=0)
    batch_size: int = option(64, "pairs a parameter update", unit="pairs", low=1)
    max_epochs: int = option(20, "most passes over the pairs", unit="epochs", low=0)
    optimizer: OptimizerName = option("adamw", "rule that turns gradients into updates")
    learning_rate: float = option(2e-3, "step size at the top of the schedule", above=0)
    gradient_clip: float | None = option(1.0, "largest norm of the whole gradient", above=0)

    # -- fitting -------------------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Learn from pairs.

        Parameters
        ----------
        X : sequence of str
            Sources, none empty.
        y : sequence of str
            The target of each; may be empty.
        sample_weight : array-like of shape (n,), optional
            Weight of each pair, 0 or more.
        X_val, y_val : sequences of str, optional
            Validation pairs, which early stopping follows.

        Returns
        -------
        self
            The fitted translator.

        Raises
        ------
        InputError
            If there are not as many targets as sources, or a source is empty.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    def _encode(self, X: Any, y: Any = None, sample_weight: Any = None, *, reset: bool = False) -> Batch:
        sources = _several(X, "sources")
        targets = None if y is None else _several(y, "targets")
        if reset and targets is None:
            raise InputError("targets y", "none", "pass the target of each source")
        if targets is not None and len(sources) != len(targets):
            raise InputError(f"{len(sources)} targets", str(len(targets)), "give one for each source")
        if reset and targets is not None:
            self._learn_tokens(sources, targets)
        rows = [self.source_tokenizer_.encode(text) for text in sources]
        empty = next((i for i, row in enumerate(rows) if not len(row)), None)
        if empty is not None:
            raise InputError("sources of one token or more", f"none in source {empty}", "leave empty sources out")
        said = None
        if targets is not None:
            tokenizer = self.target_tokenizer_
            said = [tokenizer.encode(text) for text in targets]
        if reset and said is not None:
            # A source may be longer later, and so may an answer; a transformer has to be made for some length.
            longest = max(max(map(len, rows)), max(map(len, said)))
            self.limit_ = 2 * longest + 8
        if max(map(len, rows)) > self.limit_ and self.network == "transformer":
            mend = "cut the sources, or fit on some as long"
            raise InputError(f"sources of at most {self.limit_} tokens", str(max(map(len, rows))), mend)
        lengths = torch.tensor([len(row) for row in rows])
        batch = {"sources": _padded(rows, 0), "lengths": lengths}
        if said is not None:
            end = self.target_tokenizer_.size
            batch["targets"] = _padded([np.append(row, end) for row in said], -1)
            batch["previous"] = _padded([np.concatenate([[end + 1], row]) for row in said], end)
        weights = check_weights(sample_weight)
        if weights is not None:
            if len(weights) != len(rows):
                raise InputError(f"{len(rows)} sample weights", str(len(weights)), "give one for each pair")
            batch["weights"] = weights
        return batch

    def _learn_tokens(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        size = self.vocabulary
        self.source_state_ = fit_tokenizer(self.source_tokens, sources, size=size, unknown=True).to_dict()
        self.target_state_ = fit_tokenizer(self.target_tokens, targets, size=size, unknown=True).to_dict()

    @property
    def source_tokenizer_(self) -> Tokenizer:
        """What cuts sources into tokens."""
        return Tokenizer.from_dict(self.source_state_)

    @property
    def target_tokenizer_(self) -> Tokenizer:
        """What cuts targets into tokens; beside its tokens there are an end and a beginning."""
        return Tokenizer.from_dict(self.target_state_)

    def _build(self) -> nn.Module:
        sizes = self.source_tokenizer_.size, self.target_tokenizer_.size + 2
        if self.network == "transformer":
            return EncoderDecoderTransformer(
                *sizes,
                context=self.limit_ + 2,
                width=self.width,
                layers=self.layers,
                heads=self.heads,
                positions="sinusoidal",  # the decoder looks at places of the source, which rotations do not tell it
                std=self.width**-0.5,
                dropout=self.dropout,
            )
        return Seq2Seq(
            *sizes,
            self.width,
            layers=self.layers,
            cell=self.network,
            attention=None if self.attention == "none" else self.attention,
            dropout=self.dropout,
        )

    def _loss(self, network: nn.Module) -> LossFunction:
        return translation_loss

    def _measure(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        total, count, right = measured(network, batch)
        return total, right, count

    # -- answering -----------------------------------------------------------------------------------------------

    def predict(self, X: Any, *, beam: int | None = None) -> np.ndarray:
        """Return the best target found for each source.

        Parameters
        ----------
        X : sequence of str
            Sources.
        beam : int, optional
            Beginnings to keep; the setting of that name by default.

        Returns
        -------
        array of str, shape (n,)
            Targets.
        """
        return np.array([found[0].text for found in self.candidates(X, beam=beam)], dtype=object)

    @torch.inference_mode()
    def candidates(self, X: Any, *, beam: int | None = None) -> list[list[Candidate]]:
        """Return the targets found for each source, best first, as many as the beam is wide or fewer.

        Parameters
        ----------
        X : sequence of str
            Sources.
        beam : int, optional
            Beginnings to keep; the setting of that name by default.
        """
        check_is_fitted(self)
        width = self.beam if beam is None else beam
        if width < 1:
            raise SettingError("a beam of 1 or more", str(width), "set for example beam=4")
        found: list[list[Candidate]] = [[] for _ in range(len(_several(X, "sources")))]
        for rows, answers in self._answers(X, width):
            for row, texts, logs in zip(rows, self._texts(answers), answers.log_probability.tolist(), strict=True):
                pairs = [Candidate(text, log) for text, log in zip(texts, logs, strict=True) if log > -math.inf]
                found[row] = pairs
        return found

    def _answers(self, X: Any, width: int) -> Iterator[tuple[list[int], Beams]]:
        """Search for answers, sources of like length together; yield rows and what was found for them."""
        batch = self._encode(X)
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        order = batch["lengths"].argsort(stable=True)
        end = self.target_tokenizer_.size
        with threads(min(self.n_threads_, cores())):
            for rows in _groups(order, batch["lengths"], max(1, ANSWERED_TOKENS // width)):
                lengths = batch["lengths"][rows].to(device)
                sources = batch["sources"][rows, : int(lengths.max())].to(device)
                found = searched(network, sources, lengths, end, self.limit_, width, self.length_penalty)
                yield rows.tolist(), found

    def _texts(self, found: Beams) -> list[list[str]]:
        tokenizer = self.target_tokenizer_
        end = tokenizer.size
        tokens, lengths = found.tokens.cpu().numpy(), found.lengths.tolist()
        return [
            [tokenizer.decode(row[:n][row[:n] < end]) for row, n in zip(rows, each, strict=True)]
            for rows, each in zip(tokens, lengths, strict=True)
        ]

    @torch.inference_mode()
    def score_samples(self, X: Any, y: Any) -> np.ndarray:
        """Return the log-probability of each target given its source, its end included, in nats."""
        check_is_fitted(self)
        batch = self._encode(X, y)
        network = self.network_.eval()
        device = next(network.parameters()).device
        order = batch["lengths"].argsort(stable=True)
        logs = np.empty(len(order))
        with threads(min(self.n_threads_, cores())):
            for rows in _groups(order, batch["lengths"], ANSWERED_TOKENS):
                nats, _, each = scored(network, {name: tensor[rows].to(device) for name, tensor in batch.items()})
                logs[rows.numpy()] = -(nats.double() * each).sum(1).cpu().numpy()
        return logs

    def score(self, X: Any, y: Any, *, beam: int | None = None) -> float:
        """Return one minus the token error rate: edits that answers need to be right, over the targets' tokens.

        At 1 every answer is right; as nothing bounds an answer's length, it may fall below 0.
        """
        tokenizer = self.target_tokenizer_
        pairs = zip(_several(y, "targets"), self.predict(X, beam=beam), strict=True)
        coded = [(tokenizer.encode(truth).tolist(), tokenizer.encode(said).tolist()) for truth, said in pairs]
        return 1 - sum(edit_distance(*pair) for pair in coded) / max(1, sum(len(truth) for truth, _ in coded))

    def exact(self, X: Any, y: Any, *, beam: int | None = None) -> float:
        """Return the share of answers that are right from the first token to the last."""
        return float(np.mean(self.predict(X, beam=beam) == np.array(_several(y, "targets"), dtype=object)))

    @torch.inference_mode()
    def attention_map(self, source: str, target: str | None = None) -> AttentionMap:
        """Return where the network looks for each token of a target, by default of its own answer.

        Raises
        ------
        SettingError
            If the network has no attention.
        """
        check_is_fitted(self)
        if self.attention == "none" and self.network != "transformer":
            raise SettingError("a network with attention", "attention='none'", "fit with attention='additive'")
        target = str(self.predict([source])[0]) if target is None else target
        network: Any = self.network_.eval()
        device = next(network.parameters()).device
        batch = {name: tensor.to(device) for name, tensor in self._encode([source], [target]).items()}
        if isinstance(network, EncoderDecoderTransformer):
            weights = cross_attention(network, batch)
        else:
            found: Translation = network(batch["sources"], batch["lengths"], batch["previous"])
            weights = torch.empty(0) if found.weights is None else found.weights[0]
        cut, said = self.source_tokenizer_, self.target_tokenizer_
        names = [*said.tokens(said.encode(target)), "end"]
        return AttentionMap(weights.cpu().numpy(), cut.tokens(cut.encode(source)), names)

    def exhibits(self, data: Any) -> Iterator[Exhibit]:
        """Yield how training went, answers beside the truth for ``data = (X, y)``, and where the network looks."""
        check_is_fitted(self)
        yield learning_curves(self.history_, self.best_epoch_)
        X, y = (_several(part, name)[:20] for part, name in zip(data, ("sources", "targets"), strict=True))
        best = [found[0] for found in self.candidates(X)]
        table = pd.DataFrame(
            {
                "source": X,
                "target": y,
                "answer": [one.text for one in best],
                "log-probability of the answer": [one.log_probability for one in best],
                "log-probability of the target": self.score_samples(X, y),
            }
        )
        caption = (
            "Where an answer is wrong although the target is likelier, the search missed it; where it is less likely, "
            "the network has it wrong. Log-probabilities are in nats."
        )
        yield Exhibit("Answers", caption, "answers", None, table)
        if self.attention == "none" and self.network != "transformer":
            return
        for source in X[:EXHIBITED]:
            yield attention_heatmap(self.attention_map(source))

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn that texts come in and go out."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.target_tags.required = True
        return tags


def _several(texts: Any, what: str) -> list[str]:
    if isinstance(texts, str):
        raise InputError(f"a sequence of {what}", "one text", "put it into a list")
    return texts_of(texts)


def _padded(rows: Sequence[np.ndarray], fill: int) -> Tensor:
    lengths = np.array([len(row) for row in rows])
    out = np.full((len(rows), int(lengths.max())), fill, dtype=np.int64)
    out[np.arange(out.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(out)


def _groups(order: Tensor, lengths: Tensor, tokens: int) -> Iterator[Tensor]:
    """Cut rows, sorted by length, into groups of about as many tokens."""
    place = 0
    while place < len(order):
        rows = order[place : place + max(1, tokens // int(lengths[order[place]]))]
        rows = rows[: max(1, tokens // int(lengths[rows[-1]]))]
        yield rows
        place += len(rows)
