"""Deep autoencoder with a layer list, clothes at half size, code of ten numbers."""
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, relu, smooth_l1_loss

from data import fashion

SIZES = [196, 128, 64]
CODE = 10


class DeepAutoencoder(nn.Module):
    def __init__(self, sizes=SIZES, code=CODE):
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(i, o) for i, o in zip(sizes, sizes[1:]))
        self.to_code = nn.Linear(sizes[-1], code)
        self.from_code = nn.Linear(code, sizes[-1])
        back = sizes[::-1]
        self.up = nn.ModuleList(nn.Linear(i, o) for i, o in zip(back, back[1:]))

    def encode(self, x):
        for layer in self.down:
            x = relu(layer(x))
        return self.to_code(x)

    def decode(self, z):
        h = relu(self.from_code(z))
        for layer in self.up[:-1]:
            h = relu(layer(h))
        return self.up[-1](h)

    def forward(self, x):
        return self.decode(self.encode(x))


def vectors(images):
    x = torch.from_numpy(images).float().unsqueeze(1) / 255
    return avg_pool2d(x, 2).reshape(len(x), -1)


def build(seed=0):
    torch.manual_seed(seed)
    train, _, valid, _ = fashion(3000, 800)
    train, valid = vectors(train), vectors(valid)
    net = DeepAutoencoder()
    return {
        "network": net,
        "loss": smooth_l1_loss,
        "train": (train, train),
        "valid": (valid, valid),
        "optimizer": torch.optim.Adam(net.parameters(), lr=1.5e-3),
        "batch_size": 50,
        "epochs": 12,
    }
