"""A baby GPT over characters of Shakespeare, written along a video lecture."""
import torch
import torch.nn as nn
from torch.nn import functional as F
from data import shakespeare

# hyperparameters
block_size = 24
n_embd = 48
n_head = 4
n_layer = 2
learning_rate = 3e-3
# ------------

text = shakespeare(36_000, skip=50_000)
chars = sorted(set(text))
vocab_size = len(chars)
encode = {c: i for i, c in enumerate(chars)}


class MultiHeadAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.proj = nn.Linear(n_embd, n_embd)
        self.register_buffer("mask", torch.tril(torch.ones(block_size, block_size)))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, n_head, C // n_head).transpose(1, 2) for t in self.qkv(x).split(C, dim=2))
        wei = q @ k.transpose(-2, -1) * (C // n_head) ** -0.5
        wei = wei.masked_fill(self.mask[:T, :T] == 0, float("-inf"))
        out = F.softmax(wei, dim=-1) @ v
        return self.proj(out.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.sa = MultiHeadAttention()
        self.ffwd = nn.Sequential(nn.Linear(n_embd, 2 * n_embd), nn.ReLU(), nn.Linear(2 * n_embd, n_embd))
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)

    def forward(self, x):
        x = x + self.sa(self.ln1(x))
        return x + self.ffwd(self.ln2(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, n_embd)
        self.position_embedding = nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(*[Block() for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, vocab_size)

    def forward(self, idx):
        x = self.token_embedding(idx) + self.position_embedding(torch.arange(idx.shape[1]))
        return self.lm_head(self.ln_f(self.blocks(x)))


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def chunks(data):
    n = (len(data) - 1) // block_size
    return data[: n * block_size].view(n, -1), data[1 : n * block_size + 1].view(n, -1)


def build(seed=0):
    torch.manual_seed(seed)
    data = torch.tensor([encode[c] for c in text])
    split = 32_000
    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    return {"network": model, "loss": cross_entropy, "train": chunks(data[:split]), "valid": chunks(data[split:]),
            "optimizer": optimizer, "batch_size": 32, "epochs": 4}
