"""A normalizer-free residual network (after Brock et al., 2021) in miniature."""
import torch
import torch.nn.functional as F
from torch import nn

from data import fashion

GAMMA = 1.7139588594436646  # relu
ALPHA = 0.2


class WSConv2d(nn.Conv2d):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        nn.init.kaiming_normal_(self.weight)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, x):
        w = self.weight
        fan_in = w[0].numel()
        var, mean = torch.var_mean(w, dim=(1, 2, 3), keepdim=True)
        w = (w - mean) * torch.rsqrt((var * fan_in).clamp(min=1e-4)) * self.gain
        return F.conv2d(x, w, self.bias, self.stride, self.padding)


class NFBlock(nn.Module):
    def __init__(self, channels, beta):
        super().__init__()
        self.beta = beta
        self.conv1 = WSConv2d(channels, channels, 3, padding=1)
        self.conv2 = WSConv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        out = F.relu(x * self.beta) * GAMMA
        out = F.relu(self.conv1(out)) * GAMMA
        return x + ALPHA * self.conv2(out)


class NFNet(nn.Module):
    def __init__(self, channels=14, blocks=8):
        super().__init__()
        self.stem = WSConv2d(1, channels, 5, stride=4, padding=2)
        self.blocks, variance = nn.ModuleList(), 1.0
        for _ in range(blocks):
            self.blocks.append(NFBlock(channels, beta=variance**-0.5))
            variance += ALPHA**2
        self.head = nn.Linear(channels * 9, 10)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(F.avg_pool2d(F.relu(x), 2).flatten(1))


def unitwise(t):
    return t.flatten(1).norm(dim=1).view(-1, *[1] * (t.ndim - 1)) if t.ndim > 1 else t.abs()


@torch.no_grad()
def adaptive_clip(parameters, clipping=0.05, eps=1e-3):
    for p in parameters:
        limit = unitwise(p).clamp(min=eps) * clipping
        norm = unitwise(p.grad).clamp(min=1e-6)
        p.grad.copy_(torch.where(norm > limit, p.grad * (limit / norm), p.grad))


def step(network, batch, optimizer, loss):
    x, y = batch
    optimizer.zero_grad()
    value = loss(network(x), y)
    value.backward()
    adaptive_clip([p for name, p in network.named_parameters() if not name.startswith("head")])
    optimizer.step()
    return float(value)


def build(seed=0):
    torch.manual_seed(seed)
    x, y, xv, yv = fashion(2000, 800)
    x, xv = ((torch.from_numpy(a).float()[:, None] - 73) / 90 for a in (x, xv))
    net = NFNet()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.04, momentum=0.9, nesterov=True)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "train": (x, torch.from_numpy(y)),
            "valid": (xv, torch.from_numpy(yv)), "optimizer": optimizer, "step": step, "batch_size": 50, "epochs": 5}
