"""Character model on Shakespeare with a small decoder-only transformer."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from data import shakespeare

T = 32


class SelfAttention(nn.Module):
    def __init__(self, d_model, n_head):
        super().__init__()
        self.h, self.d_k = n_head, d_model // n_head
        self.q, self.k, self.v, self.proj = (nn.Linear(d_model, d_model) for _ in range(4))
        self.register_buffer("mask", torch.tril(torch.ones(T, T, dtype=torch.bool)))

    def split(self, t):
        return t.view(len(t), self.h, T, self.d_k)

    def forward(self, x):
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        att = (q @ k.transpose(-2, -1) / math.sqrt(self.d_k)).masked_fill(~self.mask, float("-inf"))
        return self.proj((F.softmax(att, dim=-1) @ v).transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    def __init__(self, d_model, n_head):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.attn = SelfAttention(d_model, n_head)
        self.ffn = nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.GELU(), nn.Linear(2 * d_model, d_model))

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class CharLM(nn.Module):
    def __init__(self, n_chars, d_model=40, n_head=4, depth=2):
        super().__init__()
        self.tok = nn.Embedding(n_chars, d_model)
        self.pos = nn.Parameter(0.3 * torch.randn(T, d_model))
        self.blocks = nn.Sequential(*[Block(d_model, n_head) for _ in range(depth)])
        self.head = nn.Linear(d_model, n_chars)

    def forward(self, ids):
        return self.head(self.blocks(self.tok(ids) + self.pos))


def token_loss(logits, targets):
    return F.cross_entropy(logits.reshape(-1, logits.size(-1)), targets.reshape(-1))


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(45_000)
    chars = sorted(set(text))
    ids = torch.tensor([chars.index(c) for c in text])
    n = (len(ids) - 1) // T
    x, y = ids[: n * T].view(n, T), ids[1 : n * T + 1].view(n, T)
    cut = int(0.9 * n)
    net = CharLM(len(chars))
    return {"network": net, "loss": token_loss, "train": (x[:cut], y[:cut]), "valid": (x[cut:], y[cut:]),
            "optimizer": torch.optim.AdamW(net.parameters(), lr=5e-3), "batch_size": 32, "epochs": 6}
