"""A language model over Shakespeare's letters; the output layer shares the embedding's matrix."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import shakespeare

SEQ = 48


class TiedGRU(nn.Module):
    def __init__(self, vocab, d=64):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        self.gru = nn.GRU(d, d, batch_first=True)
        self.decode = nn.Linear(d, vocab)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        self.decode.weight = self.embed.weight

    def forward(self, x):
        return self.decode(self.gru(self.embed(x))[0])


def cross_entropy(logits, y):
    return F.cross_entropy(logits.transpose(1, 2), y)


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(80_000, skip=300_000)
    vocab = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([vocab[c] for c in text])
    n = (len(ids) - 1) // SEQ
    x, y = ids[: n * SEQ].view(n, SEQ), ids[1 : n * SEQ + 1].view(n, SEQ)
    k = int(0.9 * n)
    net = TiedGRU(len(vocab))
    return dict(network=net, loss=cross_entropy, train=(x[:k], y[:k]), valid=(x[k:], y[k:]), batch_size=32, epochs=4,
                optimizer=torch.optim.Adam(net.parameters(), lr=4e-3))
