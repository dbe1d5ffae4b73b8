"""Wasserstein GAN with clipped weights on the wines' measurements."""
import torch
import torch.nn as nn
from sklearn.datasets import load_wine


class Generator(nn.Module):
    def __init__(self, z=8, d=13):
        super().__init__()
        self.z = z
        self.net = nn.Sequential(nn.Linear(z, 48), nn.ReLU(), nn.Linear(48, d))

    def forward(self, n):
        return self.net(torch.randn(n, self.z))


class Critic(nn.Module):
    def __init__(self, d=13):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))

    def forward(self, x):
        return self.net(x)


class WGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.gen, self.critic = Generator(), Critic()

    def forward(self, x):
        return self.critic(x)


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_wine().data)
    x = ((x - x.mean(0)) / x.std(0)).float()
    x = x[torch.randperm(178, generator=torch.Generator().manual_seed(5))]
    model = WGAN()
    critic_opt = torch.optim.RMSprop(model.critic.parameters(), lr=1e-3)
    gen_opt = torch.optim.RMSprop(model.critic.parameters(), lr=1e-3)

    def step(network, batch, optimizer, loss):
        real = batch[0]
        for _ in range(3):
            critic_opt.zero_grad()
            c = network.critic(network.gen(len(real)).detach()).mean() - network.critic(real).mean()
            c.backward()
            critic_opt.step()
            with torch.no_grad():
                for p in network.critic.parameters():
                    p.clamp_(-0.1, 0.1)
        optimizer.zero_grad()
        (-network.critic(network.gen(len(real))).mean()).backward()
        optimizer.step()

    def evaluate(network, valid):
        state = torch.get_rng_state()
        torch.manual_seed(3)
        with torch.no_grad():
            fake = network.gen(500)
        torch.set_rng_state(state)
        return -float((torch.cov(fake.T) - torch.cov(valid[0].T)).norm() + (fake.mean(0) - valid[0].mean(0)).norm())

    return {"network": model, "loss": lambda out, target: -out.mean(), "train": (x[:120], x[:120]), "valid": (x[120:], x[120:]),
            "optimizer": gen_opt, "batch_size": 24, "epochs": 120, "step": step, "evaluate": evaluate}
