"""Count the even digits on a sheet of handwritten ones: a density map, summed over the sheet."""
import numpy as np
import torch
from torch import nn
from data_cedar import small_digits


def sheets(digits, labels, count, rng):
    """Three by three cells of 8 x 8 pixels; about a third of them stay empty."""
    pages = np.zeros((count, 1, 24, 24), np.float32)
    evens = np.zeros(count, np.float32)
    for i in range(count):
        for r in range(3):
            for c in range(3):
                if rng.random() < 0.35:
                    continue
                k = rng.integers(len(digits))
                pages[i, 0, 8 * r:8 * r + 8, 8 * c:8 * c + 8] = digits[k] / 16
                evens[i] += labels[k] % 2 == 0
    return torch.from_numpy(pages), torch.from_numpy(evens)


class CountNet(nn.Module):
    def __init__(self, ch=24):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, ch, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(ch, 2 * ch, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(2 * ch, 2 * ch, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.1),
        )
        self.density = nn.Conv2d(2 * ch, 1, 1)

    def forward(self, page):
        # how many are expected in each cell; never negative
        per_cell = nn.functional.softplus(self.density(self.body(page)))
        return per_cell.sum((1, 2, 3))


def build(seed=0):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, y, xt, yt = small_digits()
    train = sheets(x, y, 3000, rng)
    valid = sheets(xt, yt, 600, rng)
    net = CountNet()
    # counts, so a Poisson likelihood rather than squared error
    criterion = nn.PoissonNLLLoss(log_input=False)
    return dict(network=net, loss=criterion, train=train, valid=valid, batch_size=50, epochs=15,
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3, weight_decay=1e-5))
