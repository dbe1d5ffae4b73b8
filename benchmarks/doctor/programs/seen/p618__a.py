"""Object against background, pixel by pixel: a small encoder-decoder and cross-entropy over all pixels."""
import torch
import torch.nn as nn
import torch.nn.functional as F

from data_acre import cutouts

N_CLASSES = 2


class SegNet(nn.Module):
    def __init__(self, c=8):
        super().__init__()
        self.enc1 = nn.Sequential(nn.Conv2d(3, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU())
        self.enc2 = nn.Sequential(nn.Conv2d(c, 2 * c, 3, padding=1), nn.BatchNorm2d(2 * c), nn.ReLU())
        self.mid = nn.Sequential(nn.Conv2d(2 * c, 2 * c, 3, padding=2, dilation=2), nn.BatchNorm2d(2 * c), nn.ReLU())
        self.dec = nn.Conv2d(3 * c, N_CLASSES, 3, padding=1)

    def forward(self, x):
        a = self.enc1(x)
        b = self.mid(self.enc2(F.max_pool2d(a, 2)))
        return self.dec(torch.cat([a, F.interpolate(b, scale_factor=2)], dim=1))


def pixel_loss(logits, masks):
    logits = logits.view(-1, N_CLASSES)
    return F.cross_entropy(logits, masks.reshape(-1))


def mean_iou(network, valid):
    network.eval()
    images, masks = valid
    with torch.no_grad():
        guess = network(images).argmax(dim=1)
    ious = []
    for k in range(N_CLASSES):
        inter = ((guess == k) & (masks == k)).sum()
        union = ((guess == k) | (masks == k)).sum()
        ious.append((inter / union.clamp(min=1)).item())
    return sum(ious) / len(ious)


def build(seed=0):
    torch.manual_seed(seed)
    pictures, masks = cutouts(500)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    x = (x - x[:400].mean((0, 2, 3), keepdim=True)) / x[:400].std((0, 2, 3), keepdim=True)
    y = torch.from_numpy(masks)
    net = SegNet()
    return {
        "network": net,
        "loss": pixel_loss,
        "evaluate": mean_iou,
        "train": (x[:400], y[:400]),
        "valid": (x[400:], y[400:]),
        "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3),
        "batch_size": 20,
        "epochs": 7,
    }
