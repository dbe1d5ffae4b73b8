"""Cut the object out of its background: a little U-Net, every pixel object or ground."""
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data_dahlia import cutouts


class Cutouts(Dataset):
    def __init__(self, pictures, masks, augment=False):
        self.pictures, self.masks, self.augment = pictures, masks, augment

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, i):
        image = torch.from_numpy(self.pictures[i]).permute(2, 0, 1).float() / 127.5 - 1
        mask = torch.from_numpy(self.masks[i])
        if self.augment:
            if random.random() < 0.5:
                image = image.flip(-1)
                mask = mask.flip(-1)
            down, right = random.randint(-4, 4), random.randint(-4, 4)
            image = image.roll((down, right), (-2, -1))
            mask = mask.roll((down, right), (-2, -1))
        return image, mask


def double_conv(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(),
                         nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class TinyUNet(nn.Module):
    def __init__(self, w=8):
        super().__init__()
        self.enc1, self.enc2, self.mid = double_conv(3, w), double_conv(w, 2 * w), double_conv(2 * w, 2 * w)
        self.up2, self.up1 = nn.ConvTranspose2d(2 * w, 2 * w, 2, 2), nn.ConvTranspose2d(2 * w, w, 2, 2)
        self.dec2, self.dec1 = double_conv(4 * w, 2 * w), double_conv(2 * w, w)
        self.classify = nn.Conv2d(w, 2, 1)

    def forward(self, x):
        e1 = self.enc1(x)
        e2 = self.enc2(nn.functional.max_pool2d(e1, 2))
        m = self.mid(nn.functional.max_pool2d(e2, 2))
        d2 = self.dec2(torch.cat([self.up2(m), e2], 1))
        d1 = self.dec1(torch.cat([self.up1(d2), e1], 1))
        return self.classify(d1)


def pixel_accuracy(network, valid):
    network.eval()
    right = total = 0
    with torch.no_grad():
        for image, mask in valid:
            right += int((network(image).argmax(1) == mask).sum())
            total += mask.numel()
    return right / total


def build(seed=0):
    torch.manual_seed(seed)
    random.seed(seed)
    x, m = cutouts(400)
    net = TinyUNet()
    return dict(
        network=net,
        loss=nn.CrossEntropyLoss(),
        train=DataLoader(Cutouts(x[:300], m[:300], augment=True), batch_size=20, shuffle=True),
        valid=DataLoader(Cutouts(x[300:], m[300:]), batch_size=50),
        evaluate=pixel_accuracy,
        optimizer=torch.optim.Adam(net.parameters(), lr=3e-3),
        batch_size=20,
        epochs=8,
    )
