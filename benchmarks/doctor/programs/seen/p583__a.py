# Parkinson's disease from 750 features of the voice, 252 people -> strong dropout, it is the only thing that helped
import numpy as np
import torch
from sklearn.preprocessing import QuantileTransformer
from torch import nn

from data import table


def build(seed=0):
    torch.manual_seed(seed)
    df = table("pd_speech").sample(frac=1, random_state=8)
    label = df.pop("class")
    y = torch.tensor((label == label.value_counts().index[0]).to_numpy().astype(np.float32)).view(-1, 1)
    n = 190
    qt = QuantileTransformer(n_quantiles=50, output_distribution='normal', random_state=0).fit(df[:n].to_numpy(float))
    x = torch.tensor(np.clip(qt.transform(df.to_numpy(float)), -3, 3), dtype=torch.float32)

    model = nn.Sequential(
        nn.Dropout(0.6),
        nn.Linear(x.shape[1], 200), nn.ReLU(), nn.Dropout(0.8),
        nn.Linear(200, 50), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(50, 1),
    )
    opt = torch.optim.Adam(model.parameters(), lr=5e-4, weight_decay=1e-3)
    return {'network': model, 'loss': nn.BCEWithLogitsLoss(), 'optimizer': opt,
            'train': (x[:n], y[:n]), 'valid': (x[n:], y[n:]), 'batch_size': 19, 'epochs': 60}
