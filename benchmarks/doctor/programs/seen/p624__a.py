"""WGAN-GP (Gulrajani et al., 2017): 8x8 digits, one generator, one critic."""
import torch
from sklearn.datasets import load_digits
from torch import autograd, nn, optim

LATENT = 16
LAMBDA = 5.0


def mlp(*sizes):
    layers = []
    for a, b in zip(sizes[:-2], sizes[1:-1]):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(mlp(LATENT, 96, 96, 64), nn.Sigmoid())
        self.critic = mlp(64, 96, 96, 1)

    def forward(self, n):
        return self.generator(torch.randn(n, LATENT))


def gradient_penalty(critic, real, fake):
    t = torch.rand(len(real), 1)
    between = (t * real + (1 - t) * fake).requires_grad_(True)
    (grad,) = autograd.grad(critic(between).sum(), between, create_graph=True)
    return (grad.norm(dim=1) - 1).pow(2).mean()


def critic_objective(pair, batch):
    real = batch[0]
    with torch.no_grad():
        fake = pair(len(real))
    return pair.critic(fake).mean() - pair.critic(real).mean() + LAMBDA * gradient_penalty(pair.critic, real, fake)


class Alternate:
    def __init__(self, pair, every=2):
        self.generator_optimizer = optim.Adam(pair.generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
        self.every, self.seen = every, 0

    def __call__(self, pair, batch, optimizer, objective):
        optimizer.zero_grad()
        loss = objective(pair, batch)
        loss.backward()
        optimizer.step()
        self.seen += 1
        if self.seen % self.every == 0:
            self.generator_optimizer.zero_grad()
            (-pair.critic(pair(len(batch[0]))).mean()).backward()
            self.generator_optimizer.step()
        return loss.item()


def evaluate(pair, valid):
    """Minus the energy distance between samples and held-out digits."""
    pair.eval()
    with torch.no_grad():
        z = torch.randn(400, LATENT, generator=torch.Generator().manual_seed(1))
        fake, real = pair.generator(z), valid[0]
        return -(2 * torch.cdist(fake, real).mean() - torch.cdist(fake, fake).mean() - torch.cdist(real, real).mean()).item()


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    y = torch.zeros(len(x))
    pair = Pair()
    return {"network": pair, "objective": critic_objective, "step": Alternate(pair), "evaluate": evaluate,
            "train": (x[:1400], y[:1400]), "valid": (x[1400:], y[1400:]),
            "optimizer": optim.Adam(pair.critic.parameters(), lr=1e-3, betas=(0.0, 0.9)), "batch_size": 50, "epochs": 25}
