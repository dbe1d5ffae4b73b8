"""The neural probabilistic language model (Bengio 2003): the next letter from the six before it, on Austen."""
import torch
import torch.nn as nn
from data_dahlia import austen
from torch.utils.data import DataLoader, TensorDataset

CONTEXT = 6
EPOCHS = 6
BATCH = 64


class NPLM(nn.Module):
    def __init__(self, vocab, m=16, h=128):
        super().__init__()
        self.C = nn.Embedding(vocab, m)
        self.H = nn.Linear(CONTEXT * m, h)
        self.U = nn.Linear(h, vocab)
        self.W = nn.Linear(CONTEXT * m, vocab, bias=False)

    def forward(self, context):
        x = self.C(context).flatten(1)
        return self.U(torch.tanh(self.H(x))) + self.W(x)


class Fit:
    def __init__(self, model, steps_per_epoch):
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.8)
        self.steps_per_epoch = steps_per_epoch
        self.steps = 0

    def step(self, model, batch, optimizer, loss):
        context, letter = batch
        optimizer.zero_grad()
        loss(model(context), letter).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        self.steps += 1
        self.scheduler.step()


def windows(ids):
    w = ids.unfold(0, CONTEXT + 1, 1)
    return w[:, :CONTEXT].contiguous(), w[:, CONTEXT].contiguous()


def build(seed=0):
    torch.manual_seed(seed)
    text = austen(30_000).lower()
    letters = sorted(set(text))
    ids = torch.tensor([letters.index(c) for c in text])
    train, valid = windows(ids[:24_000]), windows(ids[24_000:])
    loader = DataLoader(TensorDataset(*train), batch_size=BATCH, shuffle=True)
    model = NPLM(len(letters))
    fit = Fit(model, len(loader))
    return {"network": model, "loss": nn.CrossEntropyLoss(), "train": loader, "step": fit.step, "epochs": EPOCHS,
            "valid": valid, "optimizer": fit.optimizer, "batch_size": BATCH}
