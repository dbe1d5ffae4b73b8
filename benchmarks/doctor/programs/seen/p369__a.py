"""Fat in meat from its infrared spectrum; all rows at once, L-BFGS."""
import torch
import torch.nn as nn
from data import table


def build(seed=0):
    torch.manual_seed(seed)
    meats = table("meats").sample(frac=1.0, random_state=5)
    spectra = torch.tensor(meats.filter(like="x_").to_numpy(), dtype=torch.float64)
    fat = torch.tensor(meats["fat"].to_numpy(), dtype=torch.float64)
    spectra = spectra - spectra.mean(1, keepdim=True)
    _, _, axes = torch.linalg.svd(spectra[:150] - spectra[:150].mean(0), full_matrices=False)
    x = (spectra - spectra[:150].mean(0)) @ axes[:12].t()
    x = x / x[:150].std(0)
    y = ((fat - fat[:150].mean()) / fat[:150].std()).unsqueeze(1)

    network = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    optimizer = torch.optim.LBFGS(network.parameters(), lr=1.0, max_iter=10, history_size=20, line_search_fn="strong_wolfe")

    def step(network, batch, optimizer, loss):
        x, y = batch

        def closure():
            optimizer.zero_grad()
            penalty = sum(p.square().sum() for p in network.parameters())
            value = loss(network(x), y) + 1e-4 * penalty
            value.backward()
            return value

        return optimizer.step(closure)

    return dict(network=network, loss=nn.MSELoss(), step=step, train=(x[:150], y[:150]), valid=(x[150:], y[150:]),
                optimizer=optimizer, batch_size=150, epochs=15)
