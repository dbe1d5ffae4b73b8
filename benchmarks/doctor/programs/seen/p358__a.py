"""How many passengers tomorrow? Chicago's L, station Clark/Lake, from days before and the calendar."""
import pandas as pd
import torch
import torch.nn as nn
from data import series


def make_features(df):
    r = df["ridership"]
    f = pd.DataFrame({
        "yesterday": r.shift(1),
        "day_before": r.shift(2),
        "recent_mean": r.shift(1).rolling(3).mean(),
        "week_ago_change": r.shift(7) - r.shift(14),
        "temp": df["temp"].shift(1),
        "rain": df["weather_rain"].shift(1),
    })
    month = pd.to_datetime(df["date"], unit="D").dt.month
    f["summer"] = month.isin([6, 7, 8]).astype(float)
    return f


def build(seed=0):
    torch.manual_seed(seed)
    df = series("chicago_ridership_daily")[:2500]
    f = make_features(df)
    ok = f.notna().all(axis=1)
    f, target = f[ok], df.loc[ok, "ridership"]
    n = int(0.8 * len(f))
    f = (f - f[:n].mean()) / f[:n].std()
    target = (target - target[:n].mean()) / target[:n].std()
    X = torch.tensor(f.to_numpy(), dtype=torch.float32)
    y = torch.tensor(target.to_numpy(), dtype=torch.float32).unsqueeze(1)
    model = nn.Sequential(nn.Linear(7, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    return dict(network=model, loss=nn.MSELoss(), train=(X[:n], y[:n]), valid=(X[n:], y[n:]),
                optimizer=torch.optim.Adam(model.parameters(), lr=2e-3), batch_size=32, epochs=15)
