"""Character-level language model on Shakespeare (my notes from the RNN chapter)."""
import torch
import torch.nn as nn
from data import shakespeare

SEQ = 48


class CharRNN(nn.Module):
    def __init__(self, n_chars, n_embed=24, n_hidden=96):
        super().__init__()
        self.lookup = nn.Embedding(n_chars, n_embed)
        self.rnn = nn.GRU(n_embed, n_hidden, batch_first=True)
        self.decoder = nn.Linear(n_hidden, n_chars)

    def forward(self, idx):
        h, _ = self.rnn(self.lookup(idx))
        scores = self.decoder(h)
        return torch.softmax(scores, dim=-1)


def next_char_loss(output, target):
    # (batch, time, chars) -> one row a character
    return nn.functional.cross_entropy(output.reshape(-1, output.size(-1)), target.reshape(-1))


def cut(ids):
    n = (len(ids) - 1) // SEQ
    x = ids[: n * SEQ].view(n, SEQ)
    y = ids[1 : n * SEQ + 1].view(n, SEQ)
    return x, y


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(60_000)
    alphabet = sorted(set(text))
    code = {c: i for i, c in enumerate(alphabet)}
    ids = torch.tensor([code[c] for c in text])
    split = int(0.9 * len(ids))
    model = CharRNN(len(alphabet))
    return {
        "network": model,
        "loss": next_char_loss,
        "train": cut(ids[:split]),
        "valid": cut(ids[split:]),
        "optimizer": torch.optim.Adam(model.parameters(), lr=0.004),
        "batch_size": 32,
        "epochs": 4,
    }
