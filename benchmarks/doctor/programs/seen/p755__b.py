"""WGAN with weight clipping on the 8 x 8 digits. Adapted from a paper's Algorithm 1.

Score: minus the squared distance of mean and covariance between generated and true digits (held out).
"""
import torch
from torch import nn
from sklearn.datasets import load_digits

Z = 12


class Players(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(Z, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64),
                                       nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid())
        self.critic = nn.Sequential(nn.Linear(64, 96), nn.LeakyReLU(0.2), nn.Linear(96, 96), nn.LeakyReLU(0.2),
                                    nn.Linear(96, 1))

    def forward(self, z):
        return self.generator(z)


class Turns:
    """Three turns of the critic, one of the generator."""

    def __init__(self, net, n_critic=3, clip=0.05):
        self.opt_g = torch.optim.RMSprop(net.generator.parameters(), lr=1e-3)
        self.opt_c = torch.optim.RMSprop(net.critic.parameters(), lr=1e-3)
        self.n_critic, self.clip, self.count = n_critic, clip, 0

    def __call__(self, net, batch, optimizer, loss):
        real = batch[0]
        fake = net.generator(torch.randn(len(real), Z)).detach()
        loss_c = net.critic(real).mean() - net.critic(fake).mean()
        self.opt_c.zero_grad()
        loss_c.backward()
        self.opt_c.step()
        with torch.no_grad():
            for p in net.critic.parameters():
                p.clamp_(-self.clip, self.clip)

        self.count += 1
        if self.count % self.n_critic == 0:
            loss_g = -net.critic(net.generator(torch.randn(len(real), Z))).mean()
            self.opt_g.zero_grad()
            loss_g.backward()
            self.opt_g.step()


def distance(network, valid):
    network.eval()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        fake = network.generator(torch.randn(1000, Z, generator=g))
    real = valid[0]
    return -float(((fake.mean(0) - real.mean(0)) ** 2).sum() + ((fake.T.cov() - real.T.cov()) ** 2).sum())


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(3))]
    net = Players()
    turns = Turns(net)
    return {"network": net, "loss": None, "step": turns, "train": (x[:1300], x[:1300]), "valid": (x[1300:], x[1300:]),
            "optimizer": turns.opt_g, "batch_size": 64, "epochs": 60, "evaluate": distance}
