"""The other side of the language benchmark: a small GPT and its training loop in torch alone, nothing of Gradus.

A restatement of what nanoGPT documents: learned positions, normalization before each part, no biases, the embedding
shared with the output; weights normal with deviation 0.02, divided by the root of twice the number of layers where
they add to the stream; AdamW with betas 0.9 and 0.99, decay 0.1 on matrices, gradients clipped at norm 1; batches of
random windows. Sampling reads the whole text again for each token.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PlainGPT", "PlainLSTM", "Shape", "plain_sample", "plain_trainer"]


@dataclass(frozen=True)
class Shape:
    """Size of the network and of its batches."""

    vocabulary: int
    context: int
    width: int
    layers: int
    heads: int
    batch_size: int
    dropout: float = 0.0
    learning_rate: float = 1e-3


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads, self.dropout = shape.heads, shape.dropout
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)
        self.drop = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor) -> Tensor:
        rows, time, width = x.shape
        q, k, v = (
            part.view(rows, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.attend(self.norm1(x)).split(width, dim=2)
        )
        rate = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)
        x = x + self.drop(self.merge(y.transpose(1, 2).reshape(rows, time, width)))
        return x + self.drop(self.narrow(F.gelu(self.widen(self.norm2(x)))))


class PlainGPT(nn.Module):
    """The network; with targets it returns the mean loss."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.context = shape.context
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.context, shape.width)
        self.drop = nn.Dropout(shape.dropout)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                added = name.endswith(("merge.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.layers) if added else 0.02)

    def forward(self, ids: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return the loss, or without targets the logits after the last token."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.drop(self.tokens(ids) + self.places(places))
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        if targets is None:
            return F.linear(x[:, -1], self.tokens.weight)
        logits = F.linear(x, self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


class PlainLSTM(nn.Module):
    """The same task by torch's own LSTM."""

    def __init__(self, vocabulary: int, width: int, layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.core = nn.LSTM(width, width, layers, batch_first=True)
        self.output = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss."""
        logits = self.output(self.core(self.tokens(ids))[0])
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def plain_trainer(
    network: nn.Module, data: Tensor, shape: Shape, device: str, *, compiled: bool, bf16: bool
) -> Callable[[int], None]:
    """Return a function that takes the given number of steps; ``data`` lies on the processor, as a file would."""
    network = network.to(device).train()
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    vectors = [p for p in network.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    fused = device.startswith("cuda")
    optimizer = torch.optim.AdamW(groups, lr=shape.learning_rate, betas=(0.9, 0.99), fused=fused)
    model = torch.compile(network) if compiled else network
    cast = torch.autocast(device.partition(":")[0], dtype=torch.bfloat16) if bf16 else nullcontext()

    def batch() -> tuple[Tensor, Tensor]:
        starts = torch.randint(len(data) - shape.context, (shape.batch_size,)).tolist()
        x = torch.stack([data[i : i + shape.context].long() for i in starts])
        y = torch.stack([data[i + 1 : i + 1 + shape.context].long() for i in starts])
        if not fused:
            return x, y
        return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)

    ready = batch()

    def steps(n: int) -> None:
        nonlocal ready
        for _ in range(n):
            with cast:
                loss = model(*ready)
            ready = batch()  # while the device is busy
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return steps


@torch.no_grad()
def plain_sample(network: PlainGPT, ids: Tensor, length: int) -> Tensor:
    """Continue each row by ``length`` tokens, reading all that came before anew for each."""
    for _ in range(length):
        logits = network(ids[:, -network.context :])
        ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1)], 1)
    return ids
