"""char-rnn: predict the next character of Shakespeare with a GRU"""
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import shakespeare

text = shakespeare(90_000).lower()
chars = sorted(set(text))
stoi = {ch: i for i, ch in enumerate(chars)}
SEQ = 64


def chunks(ids):
    n = (len(ids) - 1) // SEQ
    inputs = ids[: n * SEQ].view(n, SEQ)
    targets = ids[1 : n * SEQ + 1].view(n, SEQ)
    return inputs, targets


class CharRNN(nn.Module):
    def __init__(self, vocab_size, emb=32, hidden=128):
        super().__init__()
        self.emb = nn.Embedding(vocab_size, emb)
        self.rnn = nn.GRU(emb, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(hidden, vocab_size)

    def forward(self, idx):
        out, _ = self.rnn(self.emb(idx))
        return self.fc(self.dropout(out))


def loss_fn(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def train_step(model, batch, optimizer, loss_fn):
    inputs, targets = batch
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()


def build(seed=0):
    torch.manual_seed(seed)
    ids = torch.tensor([stoi[ch] for ch in text])
    split = 75_000
    model = CharRNN(len(chars))
    return {
        "network": model,
        "loss": loss_fn,
        "step": train_step,
        "train": chunks(ids[:split]),
        "valid": chunks(ids[split:]),
        "optimizer": torch.optim.Adam(model.parameters(), lr=4e-3),
        "batch_size": 32,
        "epochs": 10,
    }
