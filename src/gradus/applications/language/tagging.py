"""What a tagger is made of: the network that gives each token scores of labels, and sequences as they come in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn

from gradus.core.errors import InputError
from gradus.networks.chains import LabelChain
from gradus.networks.checks import check_sizes, chosen
from gradus.networks.recurrent import RecurrentNetwork
from gradus.networks.transformer_stack import TransformerStack

__all__ = ["TAGGING_NETWORKS", "Tagging", "tagged_rows", "vocabulary_of"]

TAGGING_NETWORKS = ("lstm", "gru", "transformer")


class Tagging(nn.Module):
    """Scores of labels for each token of padded sequences; padding never changes a score.

    Parameters
    ----------
    vocabulary : int
        Number of tokens, or 0 where tokens are vectors of features.
    classes : int
        Number of labels.
    network : {"lstm", "gru", "transformer"}
        Bidirectional recurrent layers, or an encoder with rotary positions.
    features : int
        Width of the vectors, where tokens are such.
    context : int
        The longest sequence of a transformer.
    width : int
        Width of embeddings and features, of both directions together.
    layers, heads : int
        Recurrent layers or blocks, and attention heads of each block.
    dropout : float
        Probability in ``[0, 1)`` with which a unit is dropped in training.
    structured : bool
        Whether labels form a chain; see :class:`gradus.networks.chains.LabelChain`.

    Examples
    --------
    >>> import torch
    >>> network = Tagging(50, 4, "gru", width=16)
    >>> network(torch.ones(2, 7, dtype=torch.int64), torch.tensor([7, 3])).shape
    torch.Size([2, 7, 4])

    References
    ----------
    Goodfellow et al. 2016, §10.3.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        network: str = "lstm",
        *,
        features: int = 0,
        context: int = 512,
        width: int = 128,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.0,
        structured: bool = False,
    ) -> None:
        super().__init__()
        chosen(network, TAGGING_NETWORKS, "network")
        check_sizes(classes=classes, width=width)
        self.embedding: nn.Module
        if features:
            self.embedding = nn.Linear(features, width)
        else:
            self.embedding = nn.Embedding(vocabulary, width)
            # Cells normalize nothing: at a tenth, the boundaries of a novel's words were learned to 88 % in 6 epochs
            # instead of 92 %. A transformer's blocks do.
            nn.init.normal_(self.embedding.weight, std=0.1 if network == "transformer" else 1.0)
        self.dropout = nn.Dropout(dropout)
        self.reader: nn.Module
        if network == "transformer":
            self.reader = TransformerStack(
                context, width, layers, heads, positions="rotary", std=width**-0.5, dropout=dropout
            )
        else:
            self.reader = RecurrentNetwork(
                width, width // 2, layers=layers, cell=network, bidirectional=True, dropout=dropout
            )
        self.output = nn.Linear(width, classes)
        self.chain = LabelChain(classes) if structured else None

    def forward(
        self, tokens: Int[Tensor, "batch time"] | Float[Tensor, "batch time features"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time classes"]:
        """Return the score of each label at each token; in the padding they have no meaning.

        Parameters
        ----------
        tokens : Tensor of shape (batch, time) or (batch, time, features)
            Padded at the end with any token.
        lengths : Tensor of shape (batch,)
            Number of valid tokens of each, 1 or more.
        """
        vectors = self.dropout(self.embedding(tokens))
        read = self.reader(vectors, lengths)
        return self.output(read if isinstance(read, Tensor) else read.outputs)

    def labels(
        self, emissions: Float[Tensor, "batch time classes"], lengths: Int[Tensor, " batch"]
    ) -> Int[Tensor, "batch time"]:
        """Return the likeliest label of each token, or with a chain the likeliest sequence."""
        return emissions.argmax(2) if self.chain is None else self.chain.decode(emissions, lengths)

    def probabilities(
        self, emissions: Float[Tensor, "batch time classes"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time classes"]:
        """Return the probability of each label at each token."""
        return emissions.softmax(2) if self.chain is None else self.chain.marginals(emissions, lengths)


def tagged_rows(X: Any, cut: str) -> list[Any]:
    """Return sequences as lists of tokens, arrays of numbers, or arrays of features.

    Raises
    ------
    InputError
        If there is none, one is empty, or they are of different kinds.

    Examples
    --------
    >>> tagged_rows(["the cat"], "words"), tagged_rows(["cat"], "characters")
    ([['the', 'cat']], [['c', 'a', 't']])
    """
    if isinstance(X, str | bytes):
        raise InputError("a sequence of sequences", "one text", "put it into a list")
    rows = [_row(row, i, cut) for i, row in enumerate(X)]
    if not rows:
        raise InputError("at least one sequence", "none", "pass a sequence of texts, lists of tokens, or arrays")
    kinds = {(row.ndim, row.shape[1:]) if isinstance(row, np.ndarray) else None for row in rows}
    if len(kinds) > 1:
        raise InputError("sequences of one kind and width", f"{len(kinds)} kinds", "pass texts, or arrays of one width")
    return rows


def _row(row: Any, i: int, cut: str) -> Any:
    """Check one sequence."""
    mend = "leave empty sequences out"
    if isinstance(row, str):
        row = row.split() if cut == "words" else list(row)
        if not row:
            raise InputError("sequences of one token or more", f"none in sequence {i}", mend)
        return row
    if len(row) and all(isinstance(token, str) for token in row):
        return [str(token) for token in row]
    try:
        array = np.asarray(row)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind in "iu" and array.ndim == 1 and len(array) and int(array.min()) >= 0:
        return array.astype(np.int64)
    if array.dtype.kind in "iuf" and array.ndim == 2 and array.size:
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            raise InputError("finite features", f"NaN or infinity in sequence {i}", "fill or drop them first")
        return array
    received = f"{type(row).__name__} of length {len(row)}, {array.dtype} of shape {array.shape}"
    mend = "pass texts, lists of str, arrays of whole numbers from 0, or arrays of shape (time, features)"
    raise InputError(f"a text, tokens, or an array as sequence {i}", received, mend)


def vocabulary_of(rows: Sequence[Sequence[str]], size: int, min_count: int) -> list[str]:
    """Return the tokens to learn, the most frequent first: at most ``size - 1`` that come ``min_count`` times.

    Examples
    --------
    >>> vocabulary_of([["a", "b", "a"], ["c", "b", "a"]], 3, 1), vocabulary_of([["a", "b", "a"]], 10, 2)
    (['a', 'b'], ['a'])
    """
    counts = Counter(token for row in rows for token in row)
    known = [token for token, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if n >= min_count]
    return known[: size - 1]
