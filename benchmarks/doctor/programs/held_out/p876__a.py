"""Echo state network (Jaeger 2001) for spoken digits: only the readout is trained, the reservoir stays random."""
import torch
from torch import nn
from data_dahlia import spoken


class EchoState(nn.Module):
    def __init__(self, n_in, units=300, classes=10, radius=0.9, leak=0.2, density=0.1, parts=3):
        super().__init__()
        w = torch.randn(units, units) * (torch.rand(units, units) < density)
        w *= radius / torch.linalg.eigvals(w).abs().max()
        self.register_buffer("w", w)
        self.w_in = nn.Parameter(torch.empty(units, n_in).uniform_(-0.3, 0.3), requires_grad=False)
        self.leak, self.parts = leak, parts
        self.norm = nn.LayerNorm(parts * units, elementwise_affine=False)
        self.readout = nn.Sequential(nn.Dropout(0.2), nn.Linear(parts * units, classes))

    def forward(self, x):
        frames, here = x[:, :, :-1], x[:, :, -1]           # here: 1 while the word lasts, 0 afterwards
        s = x.new_zeros(len(x), len(self.w))
        states = []
        for t in range(x.shape[1]):
            s = (1 - self.leak) * s + self.leak * torch.tanh(frames[:, t] @ self.w_in.T + s @ self.w.T)
            states.append(s)
        states = torch.stack(states, dim=1)
        # mean state in each third of the word
        third = (here.cumsum(1) - 1) * self.parts / here.sum(1, keepdim=True)
        share = torch.stack([((third >= k) & (third < k + 1)) * here for k in range(self.parts)], dim=1)
        means = share @ states / share.sum(2, keepdim=True)
        return self.readout(self.norm(means.flatten(1)))


def build(seed=0):
    torch.manual_seed(seed)
    x, lengths, digit, _, take = spoken()
    x, digit, take = torch.tensor(x), torch.tensor(digit).long(), torch.tensor(take)
    here = (torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]).float()[:, :, None]
    late = take >= 11                                      # the last takes of every digit and man are held back
    frames = x[~late][here[~late, :, 0] > 0]
    x = torch.cat([(x - frames.mean(0)) / frames.std(0) * here, here], dim=2)
    net = EchoState(x.shape[2] - 1)
    optimizer = torch.optim.AdamW(net.readout.parameters(), lr=2e-3, weight_decay=0.1)
    return {"network": net, "loss": nn.CrossEntropyLoss(), "optimizer": optimizer, "batch_size": 32, "epochs": 20,
            "train": (x[~late], digit[~late]), "valid": (x[late], digit[late])}
