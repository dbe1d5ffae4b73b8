"""Character model of Shakespeare: GRU, next-character prediction."""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from data import shakespeare


class Chunks(Dataset):
    """Non-overlapping chunks, inputs and the same moved by one."""

    def __init__(self, codes, seq_len=40):
        n = (len(codes) - 1) // seq_len
        self.x = torch.from_numpy(codes[: n * seq_len].reshape(n, seq_len).copy())
        self.y = torch.from_numpy(codes[1 : n * seq_len + 1].reshape(n, seq_len).copy())

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class CharRNN(nn.Module):
    def __init__(self, vocab, emb=32, hidden=96):
        super().__init__()
        self.vocab = vocab
        self.emb = nn.Embedding(vocab, emb)
        self.rnn = nn.GRU(emb, hidden)
        self.fc = nn.Linear(hidden, vocab)

    def forward(self, x, h=None):
        out, h = self.rnn(self.emb(x.t()), h)   # (time, batch, hidden)
        return self.fc(out), h


def objective(model, batch):
    x, y = batch
    logits, _ = model(x)
    return F.cross_entropy(logits.reshape(-1, model.vocab), y.t().reshape(-1))


def next_char_loglik(model, loader):
    """Mean log-likelihood of the character that follows each validation chunk."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for x, y in loader:
            logits, _ = model(x)
            total += F.log_softmax(logits[-1], dim=-1)[torch.arange(len(y)), y[:, -1]].sum().item()
            count += len(y)
    return total / count


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(120_000)
    chars = sorted(set(text))
    index = {c: i for i, c in enumerate(chars)}
    codes = np.array([index[c] for c in text], dtype=np.int64)
    split = 100_000
    model = CharRNN(len(chars))
    return dict(network=model, objective=objective, evaluate=next_char_loglik,
                train=DataLoader(Chunks(codes[:split]), batch_size=32, shuffle=True),
                valid=DataLoader(Chunks(codes[split:]), batch_size=100),
                optimizer=torch.optim.Adam(model.parameters(), lr=4e-3), batch_size=32, epochs=4)
