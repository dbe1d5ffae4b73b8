"""Fine-tuning a character CNN: trained to tell countries by surname, then used to tell the sex by first name.

Two optimizers: plain SGD with a small rate for the encoder, Adam for the new head.
"""
import torch
import torch.nn.functional as F
from torch import nn

from data import names
from data_west import first_names

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def encode(words, length=12):
    out = torch.zeros(len(words), length, dtype=torch.long)
    for i, word in enumerate(words):
        ids = [LETTERS.find(c) + 1 for c in word.lower()[-length:]]
        out[i, length - len(ids) :] = torch.tensor(ids)
    return out


class Encoder(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.chars = nn.Embedding(len(LETTERS) + 1, 16, padding_idx=0)
        self.conv1 = nn.Conv1d(16, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x):
        h = self.chars(x).transpose(1, 2)
        h = F.relu(self.conv1(h))
        return F.relu(self.conv2(h)).amax(dim=2)


class Tagger(nn.Module):
    def __init__(self, encoder, n_classes):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(48, n_classes)

    def forward(self, x):
        return self.head(self.encoder(x))


def pretrained_encoder():
    rows = names(("en_IE", "it_IT", "de_AT", "es_ES", "hr_HR"), n=300)
    x, y = encode([n for n, _ in rows]), torch.tensor([c for _, c in rows])
    model = Tagger(Encoder(), 5)
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(3):
        for idx in torch.randperm(len(x)).split(50):
            opt.zero_grad()
            F.cross_entropy(model(x[idx]), y[idx]).backward()
            opt.step()
    return model.encoder


def build(seed=0):
    torch.manual_seed(seed)
    rows = first_names(3000)
    x, y = encode([n for n, _ in rows]), torch.tensor([s for _, s in rows])
    net = Tagger(pretrained_encoder(), 2)
    encoder_opt = torch.optim.SGD(net.encoder.parameters(), lr=0.01, momentum=0.9)
    head_opt = torch.optim.Adam(net.head.parameters(), lr=5e-3)

    def step(network, batch, optimizer, loss_fn):
        inputs, labels = batch
        optimizer.zero_grad()
        loss = loss_fn(network(inputs), labels)
        loss.backward()
        encoder_opt.step()
        optimizer.step()

    return {"network": net, "loss": F.cross_entropy, "optimizer": head_opt, "step": step,
            "train": (x[:2400], y[:2400]), "valid": (x[2400:], y[2400:]), "batch_size": 50, "epochs": 9}
