"""A chain of labels against the enumeration of all its sequences."""

from itertools import pairwise, product

import pytest
import torch

from gradus.core.randomness import isolated
from gradus.networks.chains import LabelChain

CLASSES, LENGTHS = 3, torch.tensor([4, 1, 3])


@pytest.fixture
def chain():
    with isolated(0):
        chain = LabelChain(CLASSES).double()
        for parameter in chain.parameters():
            torch.nn.init.normal_(parameter)
        return chain, torch.randn(3, 4, CLASSES, dtype=torch.float64) * 2


def scores(chain, emissions, length):
    """Return the score of every label sequence of one row, term by term."""
    found = {}
    for labels in product(range(CLASSES), repeat=int(length)):
        total = chain.begin[labels[0]] + chain.end[labels[-1]]
        total = total + sum(emissions[t, label] for t, label in enumerate(labels))
        found[labels] = total + sum(chain.transitions[a, b] for a, b in pairwise(labels))
    return found


def test_sums_over_all_and_over_some_sequences(chain):
    chain, emissions = chain
    allowed = torch.rand(3, 4, CLASSES, generator=torch.Generator().manual_seed(2)) > 0.4
    allowed[..., 0] |= ~allowed.any(2)
    every, some = chain.log_partition(emissions, LENGTHS), chain.log_partition(emissions, LENGTHS, allowed)
    for row, length in enumerate(LENGTHS):
        found = scores(chain, emissions[row], length)
        assert every[row].item() == pytest.approx(torch.stack(list(found.values())).logsumexp(0).item())
        kept = [s for labels, s in found.items() if all(allowed[row, t, y] for t, y in enumerate(labels))]
        assert some[row].item() == pytest.approx(torch.stack(kept).logsumexp(0).item())


@torch.no_grad()
def test_marginals_and_the_best_sequence(chain):
    chain, emissions = chain
    marginals, best = chain.marginals(emissions, LENGTHS), chain.decode(emissions, LENGTHS)
    for row, length in enumerate(LENGTHS):
        found = scores(chain, emissions[row], length)
        p = torch.stack(list(found.values())).softmax(0)
        for t in range(int(length)):
            for y in range(CLASSES):
                mass = sum(float(q) for labels, q in zip(found, p, strict=True) if labels[t] == y)
                assert marginals[row, t, y].item() == pytest.approx(mass, abs=1e-9)
        assert tuple(best[row, :length].tolist()) == max(found, key=lambda labels: float(found[labels]))
        assert not best[row, length:].any() and not marginals[row, length:].any()


def test_gradients_are_finite_where_labels_are_given(chain):
    chain, emissions = chain
    emissions = emissions.requires_grad_()
    given = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2, 0]] * 3), CLASSES).bool()
    loss = chain.log_partition(emissions, LENGTHS) - chain.log_partition(emissions, LENGTHS, given)
    loss.sum().backward()
    assert bool((loss >= 0).all()) and bool(emissions.grad.isfinite().all())
    # The gradient by an emission is the marginal minus the label given.
    wanted = chain.marginals(emissions, LENGTHS) - given.double()
    wanted[torch.arange(4) >= LENGTHS[:, None]] = 0
    torch.testing.assert_close(emissions.grad, wanted)
