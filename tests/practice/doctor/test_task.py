"""Losses and outputs recognised as black boxes: torch's own, and the same behind functions of the user's."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradus.practice.doctor.task import loss_kind, output_kind, task_of, with_ignored

G = torch.Generator().manual_seed(0)
CLASSES = torch.randint(0, 4, (16,), generator=G)
ONES = torch.randint(0, 2, (16, 1), generator=G).float()
NUMBERS = torch.randn(16, 1, generator=G) * 3
SOFT = torch.softmax(torch.randn(16, 4, generator=G), 1)
COUNTS = torch.randint(0, 30, (16,), generator=G).float()


@pytest.mark.parametrize(
    ("loss", "width", "target", "kind", "wants"),
    [
        (nn.CrossEntropyLoss(), 4, CLASSES, "classes", "softmax"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), 4, CLASSES, "classes", "softmax"),
        (lambda o, t: -torch.log_softmax(o, 1)[torch.arange(len(o)), t].sum(), 4, CLASSES, "classes", "softmax"),
        (nn.CrossEntropyLoss(), 4, SOFT, "soft", "softmax"),
        (nn.NLLLoss(), 4, CLASSES, "classes", "log_probabilities"),
        (nn.KLDivLoss(reduction="batchmean"), 4, SOFT, "soft", "log_probabilities"),
        (lambda o, t: -o.clamp_min(1e-9).log()[torch.arange(len(o)), t].mean(), 4, CLASSES, "classes", "other"),
        (nn.BCEWithLogitsLoss(), 1, ONES, "binary", "sigmoid"),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)), 1, ONES, "binary", "sigmoid"),
        (nn.BCELoss(), 1, ONES, "binary", "probabilities"),
        (nn.MSELoss(), 1, NUMBERS, "numbers", "distance"),
        (nn.L1Loss(), 1, NUMBERS * 1e5, "numbers", "distance"),
        (nn.SmoothL1Loss(reduction="sum"), 1, NUMBERS, "numbers", "distance"),
        (nn.PoissonNLLLoss(log_input=False), 0, COUNTS, "numbers", "rates"),
        (lambda o, t: F.cross_entropy(o, torch.zeros(len(o), dtype=torch.long)), 1, ONES, "binary", "constant"),
    ],
)
def test_losses_by_what_they_do(loss, width, target, kind, wants):
    output = torch.randn((16, width) if width else (16,), generator=torch.Generator().manual_seed(1))
    task = task_of(output, target)
    assert task.kind == kind
    assert loss_kind(loss, output, target, task) == wants


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        (lambda x: x.softmax(1), "softmax"),
        (lambda x: x.log_softmax(1), "log_softmax"),
        (torch.sigmoid, "sigmoid"),
        (torch.relu, "rectified"),
        (F.softplus, "positive"),
        (torch.tanh, "tanh"),
        (lambda x: x, "free"),
        (F.leaky_relu, "free"),
    ],
)
def test_outputs_by_what_they_reach(activation, kind):
    x = torch.randn(64, 4, generator=G) * 4
    assert output_kind(activation(x), task_of(x, torch.randint(0, 4, (64,), generator=G))) == kind


def test_tasks():
    tokens = torch.randint(0, 9, (8, 5), generator=G)
    assert task_of(torch.randn(8, 5, 9), tokens).axis == 2
    assert task_of(torch.randn(8, 9, 5), tokens).axis == 1
    assert task_of(torch.randn(8, 9, 5), tokens).sequence
    images = torch.rand(8, 1, 4, 4, generator=G)
    assert task_of(torch.rand(8, 16, generator=G), images.reshape(8, 16), images).kind == "reconstruction"
    assert task_of((torch.zeros(2), torch.zeros(2)), tokens).kind == "other"


def test_what_a_loss_passes_over():
    target = torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]])
    output = torch.randn(2, 5, 4, generator=G)
    task = with_ignored(task_of(output, target), nn.CrossEntropyLoss(ignore_index=0), output, target)
    assert task.ignored == (0,)
    assert with_ignored(task_of(output, target), nn.CrossEntropyLoss(), output, target).ignored == ()
