"""TD(0) value estimation with a slowly following target network.

State: the last ten days of riders on the L; reward: tomorrow's riders. The value is the discounted sum of what is
to come, and `evaluate` compares it with that sum.
"""
import copy

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from data import series

GAMMA, TAU, WINDOW = 0.7, 0.02, 10


class Critic(nn.Module):
    def __init__(self, obs_dim):
        super().__init__()
        self.v = self.mlp(obs_dim)
        self.v_target = copy.deepcopy(self.v)
        for p in self.v_target.parameters():
            p.requires_grad = False

    @staticmethod
    def mlp(obs_dim):
        return nn.Sequential(nn.Linear(obs_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, obs):
        return self.v(obs).squeeze(-1)

    @torch.no_grad()
    def follow(self):
        for p, q in zip(self.v.parameters(), self.v_target.parameters()):
            q.lerp_(p, TAU)


def td_loss(network, batch):
    obs, _ = batch
    now, reward, then = obs[:, :-1], obs[:, -1, 0], obs[:, 1:]
    with torch.no_grad():
        backup = reward + GAMMA * network.v_target(then.flatten(1)).squeeze(-1)
    return F.mse_loss(network(now.flatten(1)), backup)


def update(network, batch, optimizer, objective):
    loss = objective(network, batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    network.follow()


def evaluate(network, valid):
    obs, returns = valid
    with torch.no_grad():
        v = network(obs[:, :-1].flatten(1))
    return (1 - ((v - returns) ** 2).sum() / ((returns - returns.mean()) ** 2).sum()).item()


def transitions(n=2600):
    r = series("chicago_ridership_daily")["ridership"].to_numpy()[:n]
    r = (r - r[:2000].mean()) / r[:2000].std()
    phase = 2 * np.pi * np.arange(n) / 7
    seen = np.stack([r, np.sin(phase), np.cos(phase)], axis=1)
    returns = np.zeros(n + 1)
    for t in reversed(range(n)):
        returns[t] = r[t] + GAMMA * returns[t + 1]
    starts = range(n - WINDOW - 30)
    obs = np.stack([seen[t : t + WINDOW + 1] for t in starts])
    target = np.array([returns[t + WINDOW] for t in starts])
    return torch.tensor(obs, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)


def build(seed=0):
    torch.manual_seed(seed)
    obs, returns = transitions()
    agent = Critic(3 * WINDOW)
    return {"network": agent, "objective": td_loss, "train": (obs[:1980], returns[:1980]),
            "valid": (obs[2000:], returns[2000:]), "optimizer": torch.optim.Adam(agent.v.parameters(), lr=1e-3),
            "batch_size": 64, "epochs": 20, "step": update, "evaluate": evaluate}
