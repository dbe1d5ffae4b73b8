"""A recurrent model of sequences of tokens."""

from __future__ import annotations

from math import sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gradus.core.errors import SettingError
from gradus.networks.recurrent.network import RecurrentNetwork, State

__all__ = ["RecurrentLanguageModel"]


class RecurrentLanguageModel(nn.Module):
    """Predict each token from those before it: an embedding, recurrent layers, a logit for each token.

    Embeddings begin with unit variance, since a cell reads one vector a step and nothing normalizes it: at a tenth
    of that, its gates hardly see which token came, and an LSTM of 256 units was a quarter of a nat behind after 185
    steps on Shakespeare (2.37 against 2.11 a character) and still a sixth behind after 1,000. Weights of the output
    begin by Glorot's rule, of which torch's default is a third (2.07).

    Parameters
    ----------
    vocabulary : int
        Number of tokens, 2 or more.
    width : int
        Width of embedding and hidden units.
    layers : int
        Recurrent layers.
    cell : str
        A cell of `RecurrentNetwork`.
    dropout : float
        Probability in ``[0, 1)`` with which an embedding or an output of a layer is dropped in training.
    tied : bool
        Use the embedding as the weights of the output too (parameter tying, §7.9). It then begins at
        ``1 / sqrt(width)``, as logits need it, and is read times ``sqrt(width)``.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> model = RecurrentLanguageModel(65, width=32)
    >>> model(torch.zeros(2, 7, dtype=torch.int64)).shape
    torch.Size([2, 7, 65])
    >>> logits, state = model.step(model.begin(torch.tensor([[1], [2]])), torch.tensor([3, 4]))
    >>> logits.shape
    torch.Size([2, 65])

    References
    ----------
    Goodfellow et al. 2016, §10.2.2, §12.4.2; §8.4 (scales to begin with); Press & Wolf 2017 (tying); Vaswani et al.
    2017, §3.4 (a tied embedding times the root of its width).
    """

    def __init__(
        self,
        vocabulary: int,
        width: int = 128,
        *,
        layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
        tied: bool = False,
    ) -> None:
        super().__init__()
        if vocabulary < 2:
            raise SettingError("a vocabulary of 2 tokens or more", str(vocabulary), "pass a longer text")
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(vocabulary, width)
        # What is read has unit variance either way; see above.
        self.scale = sqrt(width) if tied else 1.0
        nn.init.normal_(self.embedding.weight, std=1 / self.scale)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = RecurrentNetwork(width, width, layers=layers, cell=cell, dropout=dropout)
        self.output = nn.Linear(width, vocabulary)
        nn.init.zeros_(self.output.bias)
        if tied:
            self.output.weight = self.embedding.weight
        else:
            nn.init.xavier_uniform_(self.output.weight)

    def _read(self, tokens: Tensor) -> Tensor:
        vectors = self.embedding(tokens)
        return vectors if self.scale == 1.0 else vectors * self.scale

    def forward(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time vocabulary"]:
        """Return the logits of the token after each position."""
        return self.output(self.recurrent(self.dropout(self._read(tokens))).outputs)

    @torch.no_grad()
    def begin(self, prompt: Int[Tensor, "batch time"], lengths: Int[Tensor, " batch"] | None = None) -> State | None:
        """Read a prompt and return the state from which :meth:`step` goes on; None before the first token.

        To continue a prompt, begin with all but its last token, and step with that one.
        """
        return self.recurrent(self._read(prompt), lengths).state if prompt.shape[1] else None

    @torch.no_grad()
    def step(
        self, state: State | None, tokens: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """Read one token a row; return the logits of the next one and the state after it."""
        outputs, _, state = self.recurrent(self._read(tokens.unsqueeze(1)), state=state)
        return self.output(outputs.squeeze(1)), state
