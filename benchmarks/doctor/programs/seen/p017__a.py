"""VAE on digits with sixteen latent numbers, of which it needs but a few."""
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from sklearn.datasets import load_digits


class VAE(nn.Module):
    def __init__(self, latent=16):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, 64))

    def posterior(self, x):
        mean, raw = self.encoder(x).chunk(2, dim=1)
        return Normal(mean, nn.functional.softplus(raw + 1) + 1e-4)

    def forward(self, x):
        q = self.posterior(x)
        return self.decoder(q.rsample()), q


def negative_elbo(network, batch):
    x = batch[0]
    logits, q = network(x)
    likelihood = Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(1)
    return (kl_divergence(q, Normal(0.0, 1.0)).sum(1) - likelihood).mean()


@torch.no_grad()
def evaluate(network, valid):
    network.eval()
    state = torch.get_rng_state()
    torch.manual_seed(0)
    bound = sum(-negative_elbo(network, valid).item() for _ in range(5)) / 5
    torch.set_rng_state(state)
    return bound


def build(seed=0):
    torch.manual_seed(seed)
    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(33))]
    net = VAE()
    return dict(network=net, objective=negative_elbo, evaluate=evaluate, train=(x[:1400], x[:1400]), valid=(x[1400:], x[1400:]),
                optimizer=torch.optim.Adam(net.parameters(), lr=2e-3), batch_size=50, epochs=20)
