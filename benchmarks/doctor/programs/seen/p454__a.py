"""Ratings of films: embeddings of users and films, biases, and a dot product (after the fast.ai lesson)."""
import pandas as pd
import torch
from torch import nn

from data import ratings


class DotProductBias(nn.Module):
    def __init__(self, n_users, n_movies, n_factors=5, y_range=(0, 5.5)):
        super().__init__()
        self.user_factors = nn.Embedding(n_users, n_factors)
        self.user_bias = nn.Embedding(n_users, 1)
        self.movie_factors = nn.Embedding(n_movies, n_factors)
        self.movie_bias = nn.Embedding(n_movies, 1)
        for table in (self.user_factors, self.user_bias, self.movie_factors, self.movie_bias):
            nn.init.normal_(table.weight, std=0.05)
        self.y_range = y_range

    def forward(self, x):
        users = self.user_factors(x[:, 0])
        movies = self.movie_factors(x[:, 1])
        res = (users * movies).sum(dim=1) + self.user_bias(x[:, 0])[:, 0] + self.movie_bias(x[:, 1])[:, 0]
        low, high = self.y_range
        return torch.sigmoid(res) * (high - low) + low


def load(n=60_000):
    user, movie, stars = ratings(n)
    df = pd.DataFrame({"user": user, "movie": movie, "rating": stars})
    often = df["movie"].value_counts()
    return df[df["movie"].isin(often.index[:800])].reset_index(drop=True)


def to_tensors(df):
    ids = torch.stack([torch.tensor(df[c].astype("category").cat.codes.to_numpy(), dtype=torch.long) for c in ("user", "movie")], dim=1)
    return ids, torch.tensor(df["rating"].to_numpy(), dtype=torch.float32)


def build(seed=0):
    torch.manual_seed(seed)
    df = load()
    n_users, n_movies = df["user"].nunique(), df["movie"].nunique()
    valid = df.sample(frac=0.2, random_state=3)
    train = df.drop(valid.index)
    model = DotProductBias(n_users, n_movies)
    return {"network": model, "loss": nn.MSELoss(), "train": to_tensors(train), "valid": to_tensors(valid),
            "optimizer": torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=3e-5), "batch_size": 256, "epochs": 7}
