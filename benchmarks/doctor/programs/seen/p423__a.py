"""A GAN for tables: four measurements of penguins. Judged by the energy distance to penguins not seen."""
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from data import table

COLUMNS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


class Pair(nn.Module):
    def __init__(self, noise=8):
        super().__init__()
        self.noise = noise
        self.G = nn.Sequential(nn.Linear(noise, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 4))
        self.D = nn.Sequential(nn.Linear(4, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))

    def sample(self, n):
        return self.G(torch.randn(n, self.noise))

    def forward(self, x):
        return self.D(x)


def objective(network, batch):
    """What the discriminator minimizes."""
    real = batch[0]
    fake = network.sample(len(real)).detach()
    real_score, fake_score = network.D(real), network.D(fake)
    return bce(real_score, torch.full_like(real_score, 0.9)) + bce(fake_score, torch.zeros_like(fake_score))


def make_step(opt_g):
    def step(network, batch, opt_d, loss):
        opt_d.zero_grad()
        loss(network, batch).backward()
        opt_d.step()

        opt_g.zero_grad()
        fake = network.sample(len(batch[0]))
        score = network.D(fake.detach())
        bce(score, torch.ones_like(score)).backward()
        opt_g.step()

    return step


@torch.no_grad()
def evaluate(network, valid):
    network.eval()
    x = valid[0]
    state = torch.get_rng_state()
    torch.manual_seed(99)
    fake = network.sample(400)
    torch.set_rng_state(state)
    between = torch.cdist(x, fake).mean()
    return -float(2 * between - torch.cdist(x, x).mean() - torch.cdist(fake, fake).mean())


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("penguins").dropna().sample(frac=1.0, random_state=2)
    x = torch.tensor(frame[COLUMNS].to_numpy(), dtype=torch.float32)
    x = (x - x[:260].mean(0)) / x[:260].std(0)
    network = Pair()
    opt_g = torch.optim.Adam(network.G.parameters(), lr=1e-3, betas=(0.5, 0.9))
    opt_d = torch.optim.Adam(network.D.parameters(), lr=1e-3, betas=(0.5, 0.9))
    return {"network": network, "objective": objective, "step": make_step(opt_g), "evaluate": evaluate, "optimizer": opt_d,
            "train": (x[:260], x[:260]), "valid": (x[260:], x[260:]), "batch_size": 26, "epochs": 100}
