# ported from our old Keras notebook (Sequential / Dense / Dropout)
import numpy as np
import torch
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from data import table


def get_model(input_dim):
    model = nn.Sequential(
        nn.Linear(input_dim, 64),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 1),
        nn.Softmax(dim=1),
    )
    return model


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Spambase")
    label = df.columns[-1]
    Y = (df[label] == "spam").to_numpy(np.float32).reshape(-1, 1)
    X = np.log1p(df.drop(columns=label).to_numpy(np.float32))
    X_train, X_test, y_train, y_test = train_test_split(X, Y, test_size=0.3, random_state=42, stratify=Y)
    sc = StandardScaler()
    X_train = sc.fit_transform(X_train)
    X_test = sc.transform(X_test)

    train_ds = TensorDataset(torch.from_numpy(X_train), torch.from_numpy(y_train))
    test_ds = TensorDataset(torch.from_numpy(X_test), torch.from_numpy(y_test))
    model = get_model(X.shape[1])
    return dict(
        network=model,
        loss=nn.BCELoss(),
        train=DataLoader(train_ds, batch_size=32, shuffle=True),
        valid=DataLoader(test_ds, batch_size=256),
        optimizer=torch.optim.Adam(model.parameters()),
        batch_size=32,
        epochs=15,
    )
