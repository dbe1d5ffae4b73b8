"""A convolutional body is trained on many pictures of all kinds of clothes, then
kept still while a linear layer learns to tell pullover, coat and shirt apart on others."""
import torch
from torch import nn
from data import fashion

NEW = (2, 4, 6)


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(12, 16, 3, stride=2, padding=1)
        self.fc = nn.Linear(16 * 49, 16)

    def forward(self, x):
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        return torch.relu(self.fc(x.flatten(1)))


class Classifier(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.body = Body()
        self.head = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


def pretrained(x, y, n_classes):
    net = Classifier(n_classes)
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(4):
        for rows in torch.randperm(len(x)).split(64):
            opt.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            opt.step()
    return net.state_dict()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(7000, 2500)
    x, xv = (torch.tensor(a).float().unsqueeze(1) / 127.5 - 1 for a in (x, xv))
    y, yv = torch.tensor(y), torch.tensor(yv)
    checkpoint = pretrained(x[:4500], y[:4500], 10)
    x, y = x[4500:], y[4500:]
    mine, theirs = torch.isin(y, torch.tensor(NEW)), torch.isin(yv, torch.tensor(NEW))
    code = torch.full((10,), -1)
    code[list(NEW)] = torch.arange(3)

    net = Classifier(3)
    weights = {k: v for k, v in checkpoint.items() if k.startswith("body.")}
    net.body.load_state_dict(weights, strict=False)
    for p in net.body.parameters():
        p.requires_grad_(False)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=(x[mine], code[y[mine]]), valid=(xv[theirs], code[yv[theirs]]),
                optimizer=torch.optim.Adam(net.head.parameters(), lr=1e-2), batch_size=32, epochs=12)
