# Foreground segmentation with a small U-Net.
# Pictures and masks come as uint8 arrays; one helper brings both to tensors.
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from data_fir import placed


def to_tensor(a, scale=255.0):
    a = np.ascontiguousarray(a)
    if a.ndim == 3:
        a = a[..., None]
    return torch.from_numpy(a).permute(0, 3, 1, 2).float() / scale


def block(cin, cout):
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.ReLU(),
        nn.Conv2d(cout, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, w=10):
        super().__init__()
        self.d1, self.d2, self.mid = block(3, w), block(w, 2 * w), block(2 * w, 4 * w)
        self.u2, self.u1 = block(6 * w, 2 * w), block(3 * w, w)
        self.last = nn.Conv2d(w, 1, 1)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        c = self.mid(F.max_pool2d(b, 2))
        b = self.u2(torch.cat([F.interpolate(c, scale_factor=2), b], 1))
        a = self.u1(torch.cat([F.interpolate(b, scale_factor=2), a], 1))
        return self.last(a)


def mean_iou(net, valid):
    net.eval()
    x, m = valid
    with torch.no_grad():
        found = torch.cat([net(part) for part in x.split(50)]) > 0
    wanted = m > 0
    inter = (found & wanted).sum((1, 2, 3)).float()
    union = (found | wanted).sum((1, 2, 3)).float()
    return float((inter / union).mean())


def build(seed=0):
    torch.manual_seed(seed)
    x, _, m = placed(420, 32, seed=1)
    x, m = to_tensor(x), to_tensor(m)
    x = (x - x[:320].mean((0, 2, 3), keepdim=True)) / x[:320].std((0, 2, 3), keepdim=True)
    net = UNet()
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "train": (x[:320], m[:320]), "valid": (x[320:], m[320:]),
            "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 16, "epochs": 8, "evaluate": mean_iou}
