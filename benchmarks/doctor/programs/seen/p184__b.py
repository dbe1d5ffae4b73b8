"""GAN for 8x8 digits, one optimizer for each player."""
import torch
from torch import nn
from sklearn.datasets import load_digits

bce = nn.BCEWithLogitsLoss()


def mlp(*sizes, last=None):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    layers[-1] = last or nn.Identity()
    return nn.Sequential(*layers)


class Players(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = mlp(16, 64, 64, 64, last=nn.Sigmoid())
        self.discriminator = mlp(64, 64, 32, 1)

    def sample(self, n, generator=None):
        return self.generator(torch.randn(n, 16, generator=generator))

    def forward(self, x):
        return self.discriminator(x)


def make_step(opt_d):
    def step(network, batch, optimizer, loss):
        x = batch[0]
        real_label, fake_label = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        opt_d.zero_grad()
        with torch.no_grad():
            fake = network.sample(len(x))
        (bce(network(x), real_label) + bce(network(fake), fake_label)).backward()
        opt_d.step()
        optimizer.zero_grad()
        bce(network(network.sample(len(x))), real_label).backward()
        optimizer.step()

    return step


def evaluate(network, valid):
    """Distance of a sample's mean and spread to the held-out digits', pixel by pixel, negative."""
    with torch.no_grad():
        s = network.sample(400, torch.Generator().manual_seed(0))
    return -float((s.mean(0) - valid[0].mean(0)).abs().mean() + (s.std(0) - valid[0].std(0)).abs().mean())


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(2))]
    net = Players()
    opt_g = torch.optim.Adam(net.generator.parameters(), 1e-3, (0.5, 0.999))
    opt_d = torch.optim.Adam(net.discriminator.parameters(), 1e-3, (0.5, 0.999))
    return dict(network=net, loss=bce, train=(x[:1300], torch.ones(1300, 1)), valid=(x[1300:], torch.ones(len(x) - 1300, 1)), optimizer=opt_g,
                batch_size=50, epochs=25, step=make_step(opt_d), evaluate=evaluate)
