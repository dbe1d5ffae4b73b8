# Landsat pixels: the 3 x 3 neighbourhood as nine tokens of four bands, class of the centre
# Noam schedule as in "Attention is all you need": the optimizer's lr is 1, LambdaLR gives the rate itself
import torch
import torch.nn as nn
from data import table

D_MODEL, WARMUP = 32, 150


class PixelTransformer(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.embed = nn.Linear(4, D_MODEL)
        # one-hot rows and columns of the grid: nothing to be learned about where a pixel is
        place = torch.zeros(9, D_MODEL)
        place[torch.arange(9), torch.arange(9) // 3] = 1.0
        place[torch.arange(9), 3 + torch.arange(9) % 3] = 1.0
        self.place = nn.Parameter(place, requires_grad=False)
        layer = nn.TransformerEncoderLayer(D_MODEL, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(D_MODEL), enable_nested_tensor=False)
        self.head = nn.Linear(D_MODEL, n_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        h = self.encoder(self.embed(x) + self.place)
        return self.head(h[:, 4] + h.mean(1))


def noam(step):
    step += 1
    return D_MODEL**-0.5 * min(step**-0.5, step * WARMUP**-1.5) * 0.4


def build(seed=0):
    torch.manual_seed(seed)
    df = table("Satellite")
    train, valid = df[:4435].drop_duplicates(), df[4435:]
    kinds = sorted(df["classes"].unique())
    bands = [c for c in df.columns if c != "classes"]
    tensors = []
    for part in (train, valid):
        x = (part[bands].to_numpy("float32") - train[bands].to_numpy().mean()) / train[bands].to_numpy().std()
        y = part["classes"].map(kinds.index).to_numpy("int64")
        tensors.append((torch.tensor(x, dtype=torch.float32).view(-1, 9, 4), torch.tensor(y)))
    net = PixelTransformer(len(kinds))
    opt = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    sched = torch.optim.lr_scheduler.LambdaLR(opt, noam)

    def step(model, batch, optimizer, criterion):
        optimizer.zero_grad()
        criterion(model(batch[0]), batch[1]).backward()
        optimizer.step()
        sched.step()

    return {"network": net, "loss": nn.CrossEntropyLoss(), "step": step, "train": tensors[0], "valid": tensors[1],
            "optimizer": opt, "batch_size": 64, "epochs": 12}
