"""Half of the digits teach a body to tell ten classes; a head for odd and even is trained on it, body frozen."""
import torch
import torch.nn.functional as F
from torch import nn
from sklearn.datasets import load_digits


def pretrained_body(x, y):
    body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 48), nn.ReLU())
    head = nn.Linear(48, 10)
    opt = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(10):
        for i in torch.randperm(len(x)).split(32):
            opt.zero_grad()
            F.cross_entropy(head(body(x[i])), y[i]).backward()
            opt.step()
    return body


def build(seed=0):
    torch.manual_seed(seed)
    d = load_digits()
    x, y = torch.tensor(d.data / 16, dtype=torch.float32), torch.tensor(d.target)
    p = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    x, y = x[p], y[p]
    body = pretrained_body(x[:900], y[:900]).requires_grad_(False)
    x, y = x[900:], y[900:] % 2
    model = nn.Sequential(body, nn.Linear(48, 2))
    optimizer = torch.optim.Adam(model[1].parameters(), lr=0.01)
    return dict(network=model, loss=F.cross_entropy, train=(x[:600], y[:600]), valid=(x[600:], y[600:]),
                optimizer=optimizer, batch_size=30, epochs=8)
