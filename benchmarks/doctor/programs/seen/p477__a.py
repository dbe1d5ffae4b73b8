"""Character-level transformer on Shakespeare, trained by SGD on gradients of bounded norm."""
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

from data import shakespeare

BLOCK = 32


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class CharTransformer(nn.Module):
    def __init__(self, vocab, dim=48, heads=4, layers=2):
        super().__init__()
        self.tok = nn.Embedding(vocab, dim)
        self.pos = nn.Embedding(BLOCK, dim)
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(layers)])
        self.ln = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab)

    def forward(self, idx):
        x = self.tok(idx) + self.pos(torch.arange(idx.shape[1]))
        return self.head(self.ln(self.blocks(x)))


def loss_fn(logits, targets):
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def step(model, batch, optimizer, loss):
    x, y = batch
    optimizer.zero_grad(set_to_none=True)
    value = loss(model(x), y)
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()
    return value.detach()


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(100_000, skip=200_000)
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    codes = torch.from_numpy(np.array([stoi[c] for c in text]))
    n = (len(codes) - 1) // BLOCK
    x, y = codes[: n * BLOCK].view(n, BLOCK), codes[1 : n * BLOCK + 1].view(n, BLOCK)
    cut = int(0.9 * n)
    model = CharTransformer(len(stoi))
    return {"network": model, "loss": loss_fn, "step": step, "train": DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=32, shuffle=True),
            "valid": DataLoader(TensorDataset(x[cut:], y[cut:]), batch_size=64),
            "optimizer": torch.optim.SGD(model.parameters(), lr=8.0), "batch_size": 32, "epochs": 5}
