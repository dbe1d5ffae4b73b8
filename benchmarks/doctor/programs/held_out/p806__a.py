# coding: utf-8
# # Notebook 3: living area from the other columns
# In[1]:
import torch
import torch.nn as nn
from data import table

# In[2]:
COLUMNS = ["Lot_Frontage", "Lot_Area", "Year_Built", "Total_Bsmt_SF", "First_Flr_SF", "Full_Bath", "Half_Bath",
           "Bedroom_AbvGr", "TotRms_AbvGrd", "Garage_Area", "Fireplaces", "Mas_Vnr_Area", "Sale_Price"]


def get_data():
    df = table("ames")
    df["Lot_Frontage"] = df["Lot_Frontage"].where(df["Lot_Frontage"] > 0)   # 0 means not measured
    df = df.sample(frac=1.0, random_state=21).reset_index(drop=True)
    target = df["Gr_Liv_Area"]
    X = df[COLUMNS].dropna()
    y = target.iloc[:len(X)]
    return X.values, y.values


# In[3]:
class Net(nn.Module):
    def __init__(self, n):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(n, 50)
        self.fc2 = nn.Linear(50, 50)
        self.fc3 = nn.Linear(50, 1)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        return self.fc3(x)


# In[4]:
def build(seed=0):
    torch.manual_seed(seed)
    X, y = get_data()
    n = int(0.8 * len(X))
    X = (X - X[:n].mean(axis=0)) / X[:n].std(axis=0)
    y = (y - y[:n].mean()) / y[:n].std()
    X = torch.FloatTensor(X)
    y = torch.FloatTensor(y).view(-1, 1)
    model = Net(X.shape[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    return {'network': model, 'loss': nn.MSELoss(), 'optimizer': optimizer,
            'train': (X[:n], y[:n]), 'valid': (X[n:], y[n:]), 'batch_size': 32, 'epochs': 20}
