"""Shakespeare by characters, a very small causal transformer, written functionally."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import shakespeare

CONTEXT = 32


class TinyGPT(nn.Module):
    def __init__(self, vocab, d=48, heads=2):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, d), nn.Embedding(CONTEXT, d)
        self.block = nn.TransformerEncoderLayer(d, heads, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.norm = nn.LayerNorm(d)
        self.out = nn.Linear(d, vocab)
        self.register_buffer("mask", torch.triu(torch.full((CONTEXT, CONTEXT), float("-inf")), 1), persistent=False)

    def forward(self, idx):
        T = idx.shape[1]
        h = self.tok(idx) + self.pos.weight[:T]
        return self.out(self.norm(self.block(h, src_mask=self.mask[:T, :T])))


def cross_entropy(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_step():
    state = {"iteration": 0}

    def step(network, batch, optimizer, loss):
        x, y = batch
        logits = network(x)
        if state["iteration"] == 0:
            optimizer.zero_grad()
        loss(logits, y).backward()
        optimizer.step()
        state["iteration"] += 1

    return step


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(60_000)
    chars = sorted(set(text))
    ids = torch.tensor([chars.index(c) for c in text])
    n = (len(ids) - 1) // CONTEXT
    x, y = ids[: n * CONTEXT].view(n, CONTEXT), ids[1 : n * CONTEXT + 1].view(n, CONTEXT)
    cut = int(0.9 * n)
    net = TinyGPT(len(chars))
    return dict(network=net, loss=cross_entropy, train=(x[:cut], y[:cut]), valid=(x[cut:], y[cut:]), step=make_step(),
                optimizer=torch.optim.Adam(net.parameters(), lr=3e-3), batch_size=32, epochs=3)
