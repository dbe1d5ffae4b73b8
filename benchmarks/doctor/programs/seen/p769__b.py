"""Bass lines of Bach's chorales, next note from the notes so far (eighths). A small GPT."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from data import chorales


class Block(nn.Module):
    def __init__(self, d, heads, bias):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
        self.register_buffer("bias", bias)

    def forward(self, h):
        b, t, d = h.shape
        q, k, v = self.qkv(self.norm1(h)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:t, :t])
        h = h + self.proj(a.transpose(1, 2).reshape(b, t, d))
        return h + self.mlp(self.norm2(h))


class BassGPT(nn.Module):
    def __init__(self, n_notes, block=32, d=48, heads=4, layers=2):
        super().__init__()
        visible = torch.tril(torch.ones(block, block, dtype=torch.bool))
        self.note = nn.Embedding(n_notes, d)
        self.place = nn.Embedding(block, d)
        self.blocks = nn.Sequential(*[Block(d, heads, visible) for _ in range(layers)])
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, n_notes)

    def forward(self, notes):
        h = self.note(notes) + self.place.weight[: notes.shape[1]]
        return self.head(self.norm(self.blocks(h)))


def lm_loss(logits, following):
    return nn.functional.cross_entropy(logits.transpose(1, 2), following)


def build(seed=0):
    torch.manual_seed(seed)
    bass = chorales(32_000)[::2, 3].astype(np.int64)
    kinds, ids = np.unique(bass, return_inverse=True)
    ids = torch.from_numpy(ids)
    block = 32
    pieces = ids[: len(ids) // (block + 1) * (block + 1)].view(-1, block + 1)
    x, y = pieces[:, :-1].contiguous(), pieces[:, 1:].contiguous()
    cut = int(0.85 * len(x))
    net = BassGPT(len(kinds), block)
    return {"network": net, "loss": lm_loss, "train": DataLoader(TensorDataset(x[:cut], y[:cut]), 24, shuffle=True),
            "valid": DataLoader(TensorDataset(x[cut:], y[cut:]), 24), "batch_size": 24, "epochs": 10,
            "optimizer": torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.01)}
