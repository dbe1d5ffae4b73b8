"""Foreground segmentation of stamps on textured backgrounds; small encoder-decoder with skips, IoU."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data_south import stamps


def augment(*arrays):
    k = int(torch.randint(4, (1,)))
    flip = bool(torch.rand(1) < 0.5)
    out = []
    for a in arrays:
        a = torch.rot90(a, k, dims=(-2, -1))
        out.append(a.flip(-1) if flip else a)
    return out


class SegmentationSet(Dataset):
    def __init__(self, images, masks, training):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255)
        self.masks = torch.from_numpy(masks).float()
        self.training = training

    def __len__(self):
        return len(self.images)

    def __getitem__(self, idx):
        image, mask = self.images[idx], self.masks[idx]
        if self.training:
            image, mask = augment(image, mask)
        return image, mask


def double_conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(), nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())


class TinyUNet(nn.Module):
    def __init__(self, c=8):
        super().__init__()
        self.down1, self.down2, self.mid = double_conv(3, c), double_conv(c, 2 * c), double_conv(2 * c, 4 * c)
        self.up2, self.up1 = double_conv(6 * c, 2 * c), double_conv(3 * c, c)
        self.out = nn.Conv2d(c, 1, 1)

    def forward(self, x):
        d1 = self.down1(x)
        d2 = self.down2(F.max_pool2d(d1, 2))
        m = self.mid(F.max_pool2d(d2, 2))
        u2 = self.up2(torch.cat([F.interpolate(m, scale_factor=2), d2], dim=1))
        u1 = self.up1(torch.cat([F.interpolate(u2, scale_factor=2), d1], dim=1))
        return self.out(u1).squeeze(1)


def iou(net, loader):
    net.eval()
    inter = union = 0.0
    with torch.no_grad():
        for image, mask in loader:
            guess = net(image) > 0
            inter += (guess & (mask > 0.5)).sum().item()
            union += (guess | (mask > 0.5)).sum().item()
    return inter / max(union, 1)


def build(seed=0):
    torch.manual_seed(seed)
    images, masks = stamps(440)
    net = TinyUNet()
    train = SegmentationSet(images[:320], masks[:320], training=True)
    valid = SegmentationSet(images[320:], masks[320:], training=False)
    return {"network": net, "loss": nn.BCEWithLogitsLoss(), "evaluate": iou, "train": DataLoader(train, batch_size=16, shuffle=True),
            "valid": DataLoader(valid, batch_size=60), "optimizer": torch.optim.Adam(net.parameters(), lr=3e-3), "batch_size": 16,
            "epochs": 8}
