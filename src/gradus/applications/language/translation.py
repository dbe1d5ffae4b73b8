"""What a translator is made of: its loss, the search for answers, where the network looks, and how far off it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.data.batches import Batch
from gradus.estimators.exhibit import Exhibit, axis, floats, plain
from gradus.networks.attention import Attention, watch_attention
from gradus.networks.decoding import Beams, beam
from gradus.networks.transformer_pair import EncoderDecoderTransformer
from gradus.training.losses import Loss

__all__ = [
    "AttentionMap",
    "Candidate",
    "attention_heatmap",
    "cross_attention",
    "edit_distance",
    "measured",
    "scored",
    "searched",
    "translation_loss",
]


class Candidate(NamedTuple):
    """One answer.

    Attributes
    ----------
    text : str
        The target.
    log_probability : float
        Natural logarithm of its probability given the source, its end included, nats.
    """

    text: str
    log_probability: float


class AttentionMap(NamedTuple):
    """Where the network looks while it writes.

    Attributes
    ----------
    weights : array of shape (target, source)
        Rows sum to 1. Of a transformer, the mean over heads and layers.
    source, target : list of str
        The tokens; the last one of the target is its end.
    """

    weights: np.ndarray
    source: list[str]
    target: list[str]


def translation_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
    """Return minus the log-probability of targets given their sources, in nats, summed; counted are target tokens.

    ``previous`` holds the token before each one of ``targets``; ends are targets, padding (below 0) is not. The last
    token of the vocabulary is the beginning, which is fed and never said.

    Examples
    --------
    >>> from gradus.networks.recurrent.seq2seq import Seq2Seq
    >>> network = Seq2Seq(3, 4, width=8)
    >>> _ = nn.init.zeros_(network.vocabulary.weight), nn.init.zeros_(network.vocabulary.bias)
    >>> batch = {"sources": torch.tensor([[0, 1]]), "lengths": torch.tensor([2])}
    >>> batch |= {"previous": torch.tensor([[3, 0]]), "targets": torch.tensor([[0, 2]])}
    >>> loss = translation_loss(network, batch, torch.Generator())
    >>> round(loss.total.item() / float(loss.count), 4)  # log 3
    1.0986
    """
    total, count, _ = measured(network, batch)
    return Loss(total, count, {})


def measured(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of nats, of weights, and of tokens that were the likeliest."""
    nats, right, each = scored(network, batch)
    return (nats * each).sum(), each.sum(), (right * each).sum()


def scored(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the nats of each target token, whether it was the likeliest, and its weight, 0 for padding."""
    lengths = batch["lengths"]
    sources = batch["sources"][:, : int(lengths.max())]
    targets = batch["targets"]
    targets = targets[:, : int((targets >= 0).sum(1).max())]
    previous = batch["previous"][:, : targets.shape[1]]
    if isinstance(network, EncoderDecoderTransformer):
        logits = network(sources, previous, lengths)
    else:
        logits = network(sources, lengths, previous).logits
    logits = _unbegun(logits.to(torch.promote_types(logits.dtype, torch.float32)))
    nats = F.cross_entropy(logits.mT, targets.clamp_min(0), reduction="none")
    each = (targets >= 0).to(nats.dtype)
    if "weights" in batch:
        each = each * batch["weights"].unsqueeze(1)
    return nats, (logits.argmax(2) == targets).to(nats.dtype), each


def edit_distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Return how many tokens must be put in, taken out or exchanged to turn one sequence into the other.

    Examples
    --------
    >>> edit_distance("kitten", "sitting")
    3

    References
    ----------
    Levenshtein 1966; Wagner & Fischer 1974 (the recursion).
    """
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def searched(
    network: Any, sources: Tensor, lengths: Tensor, end: int, limit: int, width: int, length_penalty: float
) -> Beams:
    """Search for the best targets of some sources."""
    return beam(
        _Unbegun(network),
        sources,
        lengths,
        begin_token=end + 1,
        end_token=end,
        limit=limit,
        width=width,
        length_penalty=length_penalty,
    )


def _unbegun(logits: Tensor) -> Tensor:
    """Forbid the token for the beginning, the last one: it is fed only, and no target has it."""
    return torch.cat([logits[..., :-1], torch.full_like(logits[..., -1:], -torch.inf)], -1)


class _Unbegun:
    """A decoder that cannot say the token for the beginning."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def begin(self, source: Any, lengths: Tensor | None = None) -> Any:
        """Encode the source."""
        return self.network.begin(source, lengths)

    def step(self, state: Any, tokens: Tensor) -> tuple[Tensor, Any]:
        """Write one token a row."""
        logits, state = self.network.step(state, tokens)
        return _unbegun(logits), state


def cross_attention(network: EncoderDecoderTransformer, batch: Batch) -> Tensor:
    """Return the weights of cross-attention under teacher forcing, the mean over heads and layers."""
    with watch_attention(network) as maps:
        network(batch["sources"], batch["previous"], batch["lengths"])
    crosses = {name for name, layer in network.named_modules() if isinstance(layer, Attention) and layer.crosses}
    return torch.stack([weights[0].mean(0) for name, weights in maps.items() if name in crosses]).mean(0)


def attention_heatmap(found: AttentionMap) -> Exhibit:
    """Draw where the network looked."""
    heat = {
        "type": "heatmap",
        "z": [floats(row) for row in found.weights],
        "x": list(range(len(found.source))),
        "y": list(range(len(found.target))),
        "zmin": 0,
        "zmax": 1,
        "colorbar": {"title": {"text": "weight"}},
    }
    layout = {
        "xaxis": axis("source", tickvals=heat["x"], ticktext=[plain(token) for token in found.source]),
        "yaxis": axis(
            "answer", tickvals=heat["y"], ticktext=[plain(token) for token in found.target], autorange="reversed"
        ),
    }
    caption = "Each row is a token of the answer, and shows by which tokens of the source it was written."
    title = f"Attention: {''.join(found.source)[:40]}"
    return Exhibit(title, caption, "answers", {"data": [heat], "layout": layout})
