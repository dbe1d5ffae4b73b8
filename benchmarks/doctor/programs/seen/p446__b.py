# Landsat pixels -> soil type. 3x3 neighbourhood, 4 bands.
import torch, numpy as np
from torch import nn, optim
from torch.utils.data import TensorDataset, DataLoader
from data import table

EPOCHS, BATCH, LR = 30, 64, 0.05

def get_data():
    df = table("Satellite")
    y = df.pop("classes").astype("category").cat.codes.to_numpy(np.int64)
    x = df.to_numpy(np.float32)
    tr, te = slice(0, 4435), slice(4435, None)      # official split
    m, s = x[tr].mean(0), x[tr].std(0)
    x = torch.from_numpy((x - m) / s); y = torch.from_numpy(y)
    return TensorDataset(x[tr], y[tr]), TensorDataset(x[te], y[te])

def make_step(scheduler, batches_per_epoch):
    done = [0]
    def step(net, batch, opt, loss_fn):
        xb, yb = batch
        opt.zero_grad()
        l = loss_fn(net(xb), yb)
        l.backward()
        opt.step()
        done[0] += 1
        if done[0] % batches_per_epoch == 0:
            scheduler.step()
        return l.item()
    return step

def build(seed=0):
    torch.manual_seed(seed)
    train, test = get_data()
    loader = DataLoader(train, batch_size=BATCH, shuffle=True, drop_last=True)
    net = nn.Sequential(nn.Linear(36, 60), nn.Tanh(), nn.Linear(60, 60), nn.Tanh(), nn.Linear(60, 6))
    opt = optim.SGD(net.parameters(), lr=LR)
    sched = optim.lr_scheduler.StepLR(opt, step_size=10, gamma=0.3)
    return dict(network=net, loss=nn.CrossEntropyLoss(), train=loader, valid=DataLoader(test, batch_size=500), optimizer=opt,
                batch_size=BATCH, epochs=EPOCHS, step=make_step(sched, len(loader)))
