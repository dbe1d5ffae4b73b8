"""Where is the object? U-Net of two levels, soft Dice over the batch, no cross-entropy."""
import torch
from torch import nn
import torch.nn.functional as F

from data_acre import cutouts


def double_conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.GroupNorm(2, o), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1), nn.GroupNorm(2, o), nn.ReLU())


class UNet(nn.Module):
    def __init__(self, c=8):
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.down = nn.Conv2d(3, c, 3, padding=1)
        self.middle = double_conv(c, 2 * c)
        self.up = nn.ConvTranspose2d(2 * c, c, 2, stride=2)
        self.out = nn.Conv2d(2 * c, 1, 3, padding=1)

    def forward(self, x):
        a = F.relu(self.down(x))
        b = self.up(self.middle(self.pool(a)))
        return torch.sigmoid(self.out(torch.cat([a, b], 1)))


class DiceLoss(nn.Module):
    def __init__(self, smooth=1.0):
        super().__init__()
        self.smooth = smooth

    def forward(self, p, t):
        overlap = (p * t).sum()
        return 1 - (2 * overlap + self.smooth) / (p.pow(2).sum() + t.sum() + self.smooth)


def mean_iou(net, valid):
    net.eval()
    x, t = valid
    with torch.no_grad():
        p = net(x) > 0.5
    t = t > 0.5
    inter, union = (p & t).sum((1, 2, 3)), (p | t).sum((1, 2, 3))
    return (inter / union.clamp(min=1)).mean().item()


def build(seed=0):
    torch.manual_seed(seed)
    x, t = cutouts(450, seed=5)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 127.5 - 1
    t = torch.from_numpy(t).unsqueeze(1).float()
    net = UNet()
    return {"network": net, "loss": DiceLoss(), "evaluate": mean_iou, "train": (x[:350], t[:350]), "valid": (x[350:], t[350:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=4e-3), "batch_size": 14, "epochs": 9}
