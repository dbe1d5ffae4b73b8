"""House prices in Ames. Do they carry over to quarters that were not seen?"""
import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from data import table

COLUMNS = ["Gr_Liv_Area", "Total_Bsmt_SF", "First_Flr_SF", "Garage_Cars", "Garage_Area", "Year_Built", "Year_Remod_Add",
           "Full_Bath", "TotRms_AbvGrd", "Fireplaces", "Lot_Area", "Mas_Vnr_Area"]
NEW = ["Northridge", "Northridge_Heights", "Stone_Brook", "Timberland", "Somerset"]


def build(seed=0):
    torch.manual_seed(seed)
    frame = table("ames")
    unseen = frame["Neighborhood"].isin(NEW)
    X = frame[COLUMNS].fillna(0).to_numpy(np.float32)
    y = np.log10(frame["Sale_Price"].to_numpy(np.float32))[:, None]
    X_train, X_valid, y_train, y_valid = X[~unseen], X[unseen], y[~unseen], y[unseen]

    scaler, target_scaler = StandardScaler(), StandardScaler()
    X_train = scaler.fit_transform(X_train)
    X_valid = scaler.fit_transform(X_valid)
    y_train = target_scaler.fit_transform(y_train)
    y_valid = target_scaler.transform(y_valid)

    net = nn.Sequential(nn.Linear(len(COLUMNS), 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1))
    as_pair = lambda a, b: (torch.as_tensor(a, dtype=torch.float32), torch.as_tensor(b, dtype=torch.float32))
    return {"network": net, "loss": nn.HuberLoss(), "train": as_pair(X_train, y_train), "valid": as_pair(X_valid, y_valid),
            "optimizer": torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.02), "batch_size": 40, "epochs": 10}
