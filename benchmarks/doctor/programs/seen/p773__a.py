"""Semi-supervised node classification (Kipf & Welling style) on a k-nearest-neighbour graph of tumour samples."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import StandardScaler


class GraphConv(nn.Module):
    def __init__(self, fin, fout):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(fin, fout))
        self.bias = nn.Parameter(torch.zeros(fout))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, h, adj):
        return adj @ (h @ self.weight) + self.bias


class GCN(nn.Module):
    def __init__(self, features, adj, hidden=16, classes=2, dropout=0.5):
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("adj", adj)
        self.gc1, self.gc2 = GraphConv(features.shape[1], hidden), GraphConv(hidden, classes)
        self.dropout = dropout

    def forward(self, nodes):
        h = F.dropout(self.features, self.dropout, self.training)
        h = F.relu(self.gc1(h, self.adj))
        h = F.dropout(h, self.dropout, self.training)
        return F.log_softmax(self.gc2(h, self.adj), dim=-1)[nodes]


def normalized(a):
    a = np.maximum(a, a.T) + np.eye(len(a))
    d = 1 / np.sqrt(a.sum(1))
    return torch.tensor(a * d[:, None] * d[None], dtype=torch.float32)


def build(seed=0):
    torch.manual_seed(seed)
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    adj = normalized(kneighbors_graph(x, 8).toarray())
    y = torch.tensor(y)
    nodes = torch.randperm(len(y), generator=torch.Generator().manual_seed(7))
    known, rest = nodes[:80], nodes[80:]
    net = GCN(torch.tensor(x, dtype=torch.float32), adj)
    opt = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    return {"network": net, "loss": nn.NLLLoss(), "train": (known, y[known]), "valid": (rest, y[rest]),
            "optimizer": opt, "batch_size": 80, "epochs": 200}
