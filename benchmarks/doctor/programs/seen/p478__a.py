"""Measles in the United States, 1928-2002: Poisson regression of yearly cases with the population as exposure."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data_south import diseases


class Rate(nn.Module):
    """Logarithm of the expected cases: rate by state and year, plus the logarithm of the exposure."""

    def __init__(self, states, hidden=32, base=0.0):
        super().__init__()
        self.state = nn.Embedding(states, 4)
        self.net = nn.Sequential(nn.Linear(4 + 2, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.base = nn.Parameter(torch.tensor(base))

    def forward(self, state, covariates, log_exposure):
        h = torch.cat([self.state(state), covariates], dim=1)
        return self.net(h).squeeze(1) + self.base + log_exposure


def objective(model, batch):
    state, covariates, log_exposure, cases = batch
    nll = nn.functional.poisson_nll_loss(model(state, covariates, log_exposure), cases, log_input=True, reduction='none')
    return (nll / (1 + cases).sqrt()).mean() / 100


def d2(model, loader):
    """Share of squared deviation of log(1 + cases) that is explained."""
    model.eval()
    state, covariates, log_exposure, cases = loader.dataset.tensors
    with torch.no_grad():
        guess = torch.log1p(model(state, covariates, log_exposure).exp())
    want = torch.log1p(cases)
    return 1 - (((guess - want) ** 2).sum() / ((want - want.mean()) ** 2).sum()).item()


def build(seed=0):
    torch.manual_seed(seed)
    df = diseases('Measles')
    df = df[df['weeks_reporting'] > 0]
    state = torch.tensor(df['state'].astype('category').cat.codes.to_numpy(np.int64))
    year = (df['year'].to_numpy(np.float32) - 1965) / 20
    covariates = torch.from_numpy(np.stack([year, (year > -0.1).astype(np.float32)], axis=1))   # vaccine: 1963
    exposure = df['population'].to_numpy(np.float64) * df['weeks_reporting'].to_numpy() / 52
    log_exposure = torch.tensor(np.log(exposure), dtype=torch.float32)
    cases = torch.tensor(df['count'].to_numpy(), dtype=torch.float32)
    held = torch.from_numpy(np.random.RandomState(0).rand(len(df)) < 0.2)
    parts = [TensorDataset(*(t[m] for t in (state, covariates, log_exposure, cases))) for m in (~held, held)]
    base = float(np.log(cases[~held].sum() / exposure[(~held).numpy()].sum()))
    model = Rate(int(state.max()) + 1, base=base)
    return {'network': model, 'objective': objective, 'evaluate': d2, 'train': DataLoader(parts[0], batch_size=64, shuffle=True),
            'valid': DataLoader(parts[1], batch_size=256), 'optimizer': torch.optim.Adam(model.parameters(), lr=1e-3),
            'batch_size': 64, 'epochs': 40}
