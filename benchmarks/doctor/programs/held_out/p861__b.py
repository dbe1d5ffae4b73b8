"""Writing like Shakespeare, one character at a time.

Blog post, part 3: an LSTM that guesses the next character. We let the learning rate follow the loss, so that
there is no schedule to be tuned by hand.
"""
import torch
import torch.nn as nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from data import shakespeare

SEQ = 40


class CharLSTM(nn.Module):
    def __init__(self, n_chars, emb=32, hidden=128):
        super().__init__()
        self.emb = nn.Embedding(n_chars, emb)
        self.lstm = nn.LSTM(emb, hidden, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.out = nn.Linear(hidden, n_chars)

    def forward(self, idx):
        h, _ = self.lstm(self.emb(idx))
        return self.out(self.drop(h))


class Loop:
    """One training step; every `every` batches the scheduler is told the average loss since last time."""

    def __init__(self, scheduler, every=20):
        self.scheduler = scheduler
        self.every = every
        self.history = []

    def step(self, network, batch, optimizer, loss):
        x, y = batch
        optimizer.zero_grad()
        value = loss(network(x), y)
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        self.history.append(value.item())
        if len(self.history) == self.every:
            self.scheduler.step(sum(self.history) / self.every)
            self.history.clear()


def lm_loss(logits, targets):
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def windows(ids):
    n = (len(ids) - 1) // SEQ
    return ids[: n * SEQ].view(n, SEQ), ids[1 : n * SEQ + 1].view(n, SEQ)


def build(seed=0):
    torch.manual_seed(seed)
    text = shakespeare(110_000, skip=5_000)
    chars = sorted(set(text))
    index = {c: i for i, c in enumerate(chars)}
    ids = torch.tensor([index[c] for c in text])
    x, y = windows(ids)
    held = torch.arange(len(x)) % 10 == 9  # windows do not overlap: every tenth is kept for validation
    train, valid = (x[~held], y[~held]), (x[held], y[held])

    net = CharLSTM(len(chars))
    opt = torch.optim.Adam(net.parameters(), lr=4e-3)
    # halve the rate when three averages in a row bring nothing new
    sched = ReduceLROnPlateau(opt, mode="max", factor=0.5, patience=2)
    return {
        "network": net,
        "loss": lm_loss,
        "train": train,
        "valid": valid,
        "optimizer": opt,
        "batch_size": 32,
        "epochs": 8,
        "step": Loop(sched).step,
    }
