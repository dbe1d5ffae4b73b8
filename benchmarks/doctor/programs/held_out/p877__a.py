"""
Which customers leave? One in seven does. Focal loss (Lin et al. 2017) instead of weights, and the last bias starts
at the log odds of leaving, so that the first batches are not spent on finding the average.
The focal loss is small (0.04 or so), hence the step size.
"""
import math
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from data import table


def focal_loss(logit, y, gamma=2.0, alpha=0.6):
    ce = F.binary_cross_entropy_with_logits(logit, y, reduction="none")
    p_right = torch.exp(-ce)
    side = alpha * y + (1 - alpha) * (1 - y)
    return (side * (1 - p_right) ** gamma * ce).mean()


class Churn(nn.Module):
    def __init__(self, n_in, share):
        super().__init__()
        self.hidden1 = nn.Linear(n_in, 48)
        self.hidden2 = nn.Linear(48, 24)
        self.out = nn.Linear(24, 1)
        self.drop = nn.Dropout(0.15)
        nn.init.constant_(self.out.bias, math.log(share / (1 - share)))

    def forward(self, x):
        h = self.drop(F.silu(self.hidden1(x)))
        return self.out(F.silu(self.hidden2(h))).squeeze(1)


def area(network, valid):
    network.eval()
    with torch.no_grad():
        return roc_auc_score(valid[1].numpy(), network(valid[0]).numpy())


def build(seed=0):
    torch.manual_seed(seed)
    df = table("mlc_churn").drop(columns=["state", "area_code"])
    y = (df.pop("churn") == "yes").to_numpy(np.float32)
    for plan in ("international_plan", "voice_mail_plan"):
        df[plan] = (df[plan] == "yes").astype(float)
    x = df.to_numpy(np.float32)
    n = 3500
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    net = Churn(x.shape[1], float(y[:n].mean()))
    sgd = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9, weight_decay=1e-4)
    return dict(network=net, loss=focal_loss, train=(x[:n], y[:n]), valid=(x[n:], y[n:]), optimizer=sgd,
                batch_size=70, epochs=20, evaluate=area)
