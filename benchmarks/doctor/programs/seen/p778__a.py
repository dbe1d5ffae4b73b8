"""AWD-style character model of Shakespeare: tied embedding and output matrix, the same dropout mask at every step."""
import torch
from torch import nn
from data import shakespeare


class LockedDropout(nn.Module):
    """One mask for all time steps (variational dropout)."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        keep = 1 - self.p
        return x * x.new_empty(x.shape[0], 1, x.shape[2]).bernoulli_(keep) / keep


class Model(nn.Module):
    def __init__(self, vocab, width=64, hidden=96):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.rnn = nn.GRU(width, hidden, batch_first=True)
        self.back = nn.Linear(hidden, width)
        self.out = nn.Linear(width, vocab)
        self.out.weight = self.embed.weight
        nn.init.normal_(self.embed.weight, std=0.2)
        nn.init.zeros_(self.out.bias)
        self.drop_in, self.drop_mid, self.drop_out = LockedDropout(0.2), LockedDropout(0.5), LockedDropout(0.5)

    def forward(self, tokens):
        h, _ = self.rnn(self.drop_in(self.embed(tokens)))
        h = self.drop_out(torch.tanh(self.back(self.drop_mid(h))))
        return self.out(h)


def loss(logits, target):
    return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())


def step(net, batch, opt, loss):
    opt.zero_grad()
    loss(net(batch[0]), batch[1]).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()


def build(seed=0, length=40):
    torch.manual_seed(seed)
    text = shakespeare(50_000)
    letters = sorted(set(text))
    ids = torch.tensor([letters.index(c) for c in text])
    n = (len(ids) - 1) // length
    x, y = ids[: n * length].view(n, length), ids[1 : n * length + 1].view(n, length)
    cut = n * 9 // 10
    net = Model(len(letters))
    return {"network": net, "loss": loss, "step": step, "train": (x[:cut], y[:cut]), "valid": (x[cut:], y[cut:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 32, "epochs": 5}
