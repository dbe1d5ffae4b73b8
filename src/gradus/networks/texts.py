"""A body that reads token sequences and returns one vector of features for each."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.networks.attention import padding_mask
from gradus.networks.checks import chosen
from gradus.networks.recurrent import RecurrentNetwork, SequenceFeatures
from gradus.networks.transformer import Transformer

__all__ = ["TEXT_NETWORKS", "TextNetwork"]

TEXT_NETWORKS = ("bag", "gru", "lstm", "transformer")


class TextNetwork(nn.Module):
    """Features of padded token sequences: by their mean embedding, a recurrent network or a transformer.

    Parameters
    ----------
    vocabulary : int
        Number of tokens, 2 or more.
    network : {"bag", "gru", "lstm", "transformer"}
        ``"bag"``: the mean of the tokens' embeddings, blind to their order. ``"gru"``, ``"lstm"``: bidirectional
        recurrent layers and the mean of their outputs. ``"transformer"``: an encoder and the mean of its positions.
    context : int
        The longest sequence, in tokens.
    width : int
        Width of embeddings and hidden units, of both directions together.
    layers, heads : int
        Recurrent layers or transformer blocks, and attention heads of each block.
    dropout : float
        Probability in ``[0, 1)`` with which a unit is dropped in training.

    Attributes
    ----------
    out_features : int
        Width of the features.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> body = TextNetwork(100, "gru", width=32)
    >>> body(torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1])).shape
    torch.Size([2, 32])

    References
    ----------
    Goodfellow et al. 2016, §10.2 (figure 10.5), §10.3, §12.4.2; Iyyer et al. 2015 (mean embeddings).
    """

    def __init__(
        self,
        vocabulary: int,
        network: str = "gru",
        *,
        context: int = 256,
        width: int = 128,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        chosen(network, TEXT_NETWORKS, "network")
        if vocabulary < 2:
            raise SettingError("a vocabulary of 2 tokens or more", str(vocabulary), "pass longer texts")
        if width % 2 and network in ("gru", "lstm"):
            raise SettingError("an even width, half for each direction", str(width), f"set width={width + 1}")
        self.network, self.out_features = network, width
        if network == "transformer":
            self.reader: nn.Module = Transformer(
                vocabulary, context, width, layers, heads, causal=False, readout="mean", dropout=dropout
            )
            return
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.dropout = nn.Dropout(dropout)
        if network != "bag":
            recurrent = RecurrentNetwork(
                width, width // 2, layers=layers, cell=network, bidirectional=True, dropout=dropout
            )
            self.reader = SequenceFeatures(recurrent, "mean")

    def forward(
        self, tokens: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch width"]:
        """Return one vector for each sequence.

        Parameters
        ----------
        tokens : Tensor of shape (batch, time)
            Padded on the right with any token; what no sequence of the batch reaches is not read.
        lengths : Tensor of shape (batch,)
            Number of valid tokens of each, 1 or more.
        """
        tokens = tokens[:, : int(lengths.max())]
        if self.network == "transformer":
            return self.reader(tokens, lengths)
        vectors = self.dropout(self.embedding(tokens))
        if self.network != "bag":
            return self.reader(vectors, lengths)
        kept = padding_mask(lengths, tokens.shape[1]).mT
        return torch.where(kept, vectors, 0.0).sum(1) / lengths.unsqueeze(1).to(vectors.dtype)
