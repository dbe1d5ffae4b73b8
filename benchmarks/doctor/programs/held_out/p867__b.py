"""SMILES language model, small enough for a laptop (chapter 4 of the thesis, first experiment)."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data_cedar import molecules

MAX_LEN = 28
START, END = "^", "$"


class Block(nn.Module):
    def __init__(self, d, heads, n):
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.proj = nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 3 * d), nn.GELU(), nn.Linear(3 * d, d))
        self.drop = nn.Dropout(0.1)
        self.register_buffer("past", torch.ones(n, n).tril().bool())

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=self.past[:t, :t])
        x = x + self.drop(self.proj(a.transpose(1, 2).reshape(b, t, d)))
        return x + self.drop(self.mlp(self.ln2(x)))


class SmilesLM(nn.Module):
    def __init__(self, vocab, d=48, heads=4, depth=2, n=MAX_LEN + 1):
        super().__init__()
        self.tok = nn.Embedding(vocab, d)
        self.pos = nn.Embedding(n, d)
        self.blocks = nn.Sequential(*[Block(d, heads, n) for _ in range(depth)])
        self.ln = nn.LayerNorm(d)
        self.out = nn.Linear(d, vocab)

    def forward(self, x):
        h = self.tok(x) + self.pos(torch.arange(x.shape[1]))
        return self.out(self.ln(self.blocks(h)))


def next_token_loss(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0)


def build(seed=0):
    torch.manual_seed(seed)
    smiles = molecules(2400, MAX_LEN, seed=3)["smiles"].drop_duplicates().tolist()
    chars = sorted(set("".join(smiles)) | {START, END})
    index = {c: i + 1 for i, c in enumerate(chars)}        # 0 pads
    rows = torch.zeros(len(smiles), MAX_LEN + 2, dtype=torch.long)
    for r, s in enumerate(smiles):
        coded = [index[c] for c in START + s + END]
        rows[r, : len(coded)] = torch.tensor(coded)
    x, y = rows[:, :-1], rows[:, 1:]
    model = SmilesLM(len(chars) + 1)
    return {"network": model, "loss": next_token_loss, "train": (x[:2000], y[:2000]), "valid": (x[2000:], y[2000:]),
            "optimizer": torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01),
            "batch_size": 50, "epochs": 12}
