"""A loop of the user's own, watched: it runs as it would have, and its faults are named."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from gradus.practice.doctor.watching import watch

X, Y = load_digits(return_X_y=True)
X, Y = torch.tensor(X[:400] / 16, dtype=torch.float32), torch.tensor(Y[:400])


def trained(acts, *, watched=True, lr=0.01, network=None):
    """Train for two passes by a plain loop that does what is named, in that order."""
    torch.manual_seed(0)
    network = network or nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    seen = watch(network, optimizer)
    loss = nn.CrossEntropyLoss()

    def loop():
        for _ in range(2):
            for k in range(0, 400, 20):
                value = loss(network(X[k : k + 20]), Y[k : k + 20])
                known = {"zero": optimizer.zero_grad, "backward": value.backward, "step": optimizer.step}
                for act in acts:
                    known[act]()

    if watched:
        with seen:
            loop()
    else:
        loop()
    return network, seen


def test_a_right_loop_is_healthy_and_unchanged():
    network, seen = trained(["zero", "backward", "step"])
    alone, _ = trained(["zero", "backward", "step"], watched=False)
    assert seen.diagnosis.verdict == "healthy", seen.diagnosis.findings
    assert seen.diagnosis.measures["steps"] == 40
    for a, b in zip(network.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not network._forward_pre_hooks and not network[1]._forward_hooks


@pytest.mark.parametrize(
    ("acts", "cause"),
    [
        (["backward", "step"], "missing_zero_grad"),
        (["zero", "backward"], "missing_step"),
        (["zero", "step"], "missing_backward"),
        (["backward", "zero", "step"], "wrong_step_order"),
    ],
)
def test_a_fault_of_the_loop_is_named_first(acts, cause):
    _, seen = trained(acts)
    assert seen.diagnosis.verdict == "faulty"
    assert seen.diagnosis.findings[0].cause == cause


def test_evaluation_mode_and_a_rate_too_high():
    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10)).eval()
    assert trained(["zero", "backward", "step"], network=network)[1].diagnosis.findings[0].cause == "eval_in_training"
    found = trained(["zero", "backward", "step"], lr=30.0)[1].diagnosis
    assert "learning_rate_too_high" in [f.cause for f in found.findings]


def test_a_cut_graph():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(64, 32), nn.Linear(32, 10)

        def forward(self, x):
            return self.second(self.first(x).relu().detach())

    found = trained(["zero", "backward", "step"], network=Cut())[1].diagnosis.findings[0]
    assert (found.cause, found.place) == ("no_gradient", "first")


def test_an_error_of_the_loop_goes_on_its_way_and_everything_is_put_back():
    backward = torch.Tensor.backward
    network = nn.Linear(2, 1)
    with pytest.raises(RuntimeError, match="mat1"), watch(network, torch.optim.SGD(network.parameters(), lr=0.1)):
        network(torch.zeros(1, 3))
    assert torch.Tensor.backward is backward
