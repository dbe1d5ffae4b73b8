"""Discriminative fine-tuning (as in ULMFiT, but for pictures): emoji categories after an auto-encoding warm start."""
import torch
from torch import nn
from data import emoji

KINDS = (1, 2, 3, 5)


def load(per=450):
    x, c, name = emoji()
    c = torch.tensor(c)
    held = torch.tensor([sum(map(ord, n)) % 4 == 0 for n in name])
    x = torch.tensor(x).permute(0, 3, 1, 2).float() / 127.5 - 1
    g = torch.Generator().manual_seed(0)
    parts = []
    for want in (~held, held):
        rows = torch.cat([torch.nonzero((c == k) & want).flatten()[:per] for k in KINDS])
        rows = rows[torch.randperm(len(rows), generator=g)]
        parts += [x[rows], torch.tensor([KINDS.index(int(k)) for k in c[rows]])]
    return parts


def block(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.b1, self.b2, self.b3 = block(3, 12), block(12, 24), block(24, 48)
        self.head = nn.Linear(48 * 16, len(KINDS))

    def body(self, x):
        return self.b3(self.b2(self.b1(x)))

    def forward(self, x):
        return self.head(self.body(x).flatten(1))

    def train(self, mode=True):
        super().train(mode)
        if getattr(self, "tuned", False):
            for m in self.modules():
                if isinstance(m, nn.BatchNorm2d):
                    m.eval()  # statistics of the warm start stay
        return self


def warm_start(net, x, steps=120):
    decoder = nn.Sequential(nn.ConvTranspose2d(48, 24, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(24, 12, 4, 2, 1),
                            nn.ReLU(), nn.ConvTranspose2d(12, 3, 4, 2, 1))
    opt = torch.optim.Adam([*net.parameters(), *decoder.parameters()], lr=2e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (32,))
        opt.zero_grad()
        nn.functional.mse_loss(decoder(net.body(x[rows])), x[rows]).backward()
        opt.step()


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = load()
    net = Net()
    warm_start(net, x)
    net.tuned = True
    net.b1.requires_grad_(False)
    opt = torch.optim.AdamW([
        {"params": net.b2.parameters(), "lr": 2e-5},
        {"params": net.b3.parameters(), "lr": 2e-4},
        {"params": net.head.parameters(), "lr": 1e-3},
    ])
    return {"network": net, "loss": nn.CrossEntropyLoss(label_smoothing=0.05), "train": (x, y), "valid": (xv, yv),
            "optimizer": opt, "batch_size": 32, "epochs": 6}
