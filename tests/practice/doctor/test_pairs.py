"""Rules of what belongs together: pairs called alike are alike, and masks lie on their pictures."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from doctor_patients import batch_of, digits, patient
from gradus.practice.doctor.checks_pairs import _lying, check_pairs


def found(p):
    return [(f.cause, f.place) for f in check_pairs(p, batch_of(p))]


# -- pairs -----------------------------------------------------------------------------------------------------------


class Twins(nn.Module):
    """Lay both sides of a pair down by the same weights, and say how far apart they are."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, *sides):
        one, other = sides if len(sides) == 2 else (sides[0][:, 0], sides[0][:, 1])
        return (self.body(one) - self.body(other)).norm(dim=1)


def pairs(alike, stacked=False):
    """Return pairs of digits, half of them of one class, with a label that is ``alike`` for those."""
    made = []
    for x, y in digits():
        generator = torch.Generator().manual_seed(0)
        others = [torch.nonzero(y == k)[:, 0] for k in range(10)]
        same = torch.arange(len(y)) % 2 == 0
        mates = torch.stack([o[torch.randint(len(o), (1,), generator=generator)][0] for o in (others[k] for k in y)])
        second = x[torch.where(same, mates, torch.randperm(len(y), generator=generator))]
        same = same | (second == x).all(1)
        label = torch.where(same, float(alike), float(1 - alike))
        made.append((torch.stack([x, second], 1), label) if stacked else (x, second, label))
    return tuple(made)


def contrast(gap, alike):  # the margin lies where hardly any start reaches
    return (alike * gap**2 + (1 - alike) * F.relu(1 - gap) ** 2).mean()


def backwards(gap, apart):
    return contrast(gap, 1 - apart)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(
    ("alike", "loss", "wrong"),
    [(1, contrast, False), (0, contrast, True), (0, backwards, False), (1, backwards, True)],
)
def test_pairs_whose_label_is_read_the_wrong_way_round(alike, loss, wrong, stacked):
    p = patient(Twins, pairs(alike, stacked), loss=loss, batch_size=60)
    assert found(p) == ([("wrong_target_coding", "targets")] if wrong else [])


def test_pairs_that_are_classified_have_no_label_of_their_own_for_alike():
    """The network may learn either label: what equal sides cost depends on its weights."""

    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(128, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, one, other):
            return self.body(torch.cat([one, other], 1))[:, 0]

    p = patient(Judge, pairs(0), loss=nn.BCEWithLogitsLoss(), batch_size=60)
    assert found(p) == []


def test_scores_of_equal_sides_that_cost_the_same_under_both_labels():
    """A distance with its sign turned, as a raw score: only its order counts, and no label is named alike by it."""

    class Scored(Twins):
        def forward(self, *sides):
            return -super().forward(*sides)

    assert found(patient(Scored, pairs(1), loss=nn.BCEWithLogitsLoss(), batch_size=60)) == []


def test_the_look_at_other_weights_leaves_them():
    p = patient(Twins, pairs(0), loss=contrast, batch_size=60)
    before = [v.clone() for v in p.network.parameters()]
    assert found(p)
    assert all(torch.equal(a, b) for a, b in zip(before, p.network.parameters(), strict=True))


# -- masks -----------------------------------------------------------------------------------------------------------


def inked(change=lambda x, mask: (x, mask), validation=lambda x, mask: (x, mask)):
    """Return digits as pictures, with masks of the pixels that are well inked."""
    made = []
    for (x, _), way in zip(digits(200), (change, validation), strict=True):
        x = F.pad(x.reshape(-1, 1, 8, 8), (0, 4, 0, 4))  # in a corner, so that a turn takes them elsewhere
        made.append(way(x, (x[:, 0] > 0.4).float()))
    return tuple(made)


def pictures_mirrored(x, mask):
    turned = torch.arange(len(x)) % 2 == 0
    return torch.where(turned[:, None, None, None], x.flip(3), x), mask


def both_mirrored(x, mask):
    x, _ = pictures_mirrored(x, mask)
    return x, (x[:, 0] > 0.4).float()


def transposed(x, mask):
    return x, mask.transpose(1, 2)


@pytest.mark.parametrize(
    ("change", "validation", "words"),
    [
        (pictures_mirrored, None, "turned without them"),
        (both_mirrored, None, ""),
        (transposed, transposed, "transposed with"),
        (None, None, ""),
    ],
)
def test_masks_that_do_not_lie_on_their_pictures(change, validation, words):
    def same(x, mask):
        return x, mask

    p = patient(nn.Conv2d(1, 1, 3, padding=1), inked(change or same, validation or same), loss=nn.MSELoss())
    findings = list(check_pairs(p, batch_of(p)))
    assert [(f.cause, f.place) for f in findings] == ([("shuffled_pairs", "train")] if words else [])
    assert all(words in f.evidence for f in findings)


def test_how_masks_lie_on_their_scores():
    """Of those that were mirrored, a mirror image fits better."""
    masks = inked()[0][1] > 0
    lies, moved = _lying(masks.double(), masks)
    assert moved == 0.0 and float(lies.min()) > 0.99
    mirrored = torch.where((torch.arange(len(masks)) % 4 == 0)[:, None, None], masks.flip(2), masks)
    assert _lying(masks.double(), mirrored)[1] == pytest.approx(0.25, abs=0.02)
