"""Virtual adversarial directions against the Hessian's eigenvectors; losses with rows without a class."""

import pytest
import torch
from torch.distributions import kl_divergence

from gradus.core.errors import SettingError
from gradus.core.randomness import generator, isolated
from gradus.networks import (
    MLP,
    BinaryHead,
    CategoricalHead,
    GaussianHead,
    HeadedNetwork,
    MixtureDensityHead,
    MultiLabelHead,
    OrdinalHead,
)
from gradus.training.losses import head_loss
from gradus.training.semi_supervised import (
    divergence,
    pseudo_labels,
    semi_supervised_loss,
    virtual_adversarial,
)
from training.small import classifier, rows

HEADS = {
    "categorical": lambda: CategoricalHead(5, 3),
    "binary": lambda: BinaryHead(5),
    "ordinal": lambda: OrdinalHead(5, 4),
    "labels": lambda: MultiLabelHead(5, 2),
    "gaussian": lambda: GaussianHead(5),
    "learned": lambda: GaussianHead(5, 2, variance="learned"),
}


def network(head, seed=0):
    with isolated(seed):
        return HeadedNetwork(None, MLP(4, (6, 5), activation="tanh"), HEADS[head]()).double()


@pytest.mark.parametrize("head", HEADS)
def test_the_divergence_is_that_of_the_distributions(head):
    model = network(head)
    x = torch.randn(2, 6, 4, generator=generator(0), dtype=torch.float64)
    first, second = model(x[0]), model(x[1])
    exact = kl_divergence(model.head.distribution(first), model.head.distribution(second))
    found = divergence(model.head, first, second)
    assert found.shape == (6,)
    torch.testing.assert_close(found, exact)
    assert (found > 0).all() and torch.allclose(divergence(model.head, first, first), torch.zeros(6).double())


def test_a_mixture_has_no_closed_form():
    head = MixtureDensityHead(2)
    with pytest.raises(SettingError, match="closed form"):
        divergence(head, head(torch.zeros(1, 2)), head(torch.zeros(1, 2)))


@pytest.mark.parametrize("head", HEADS)
def test_power_iteration_finds_the_leading_eigenvector_of_the_hessian(head):
    model = network(head, seed=3)
    x = torch.randn(5, 4, generator=generator(1), dtype=torch.float64)
    found = virtual_adversarial(model, model.head, x, epsilon=1.5, generator=generator(2), iterations=200, probe=1e-6)
    assert torch.allclose(found.norm(dim=1), torch.tensor(1.5).double())
    for row, change in zip(x, found, strict=True):
        answer = model(row[None]).detach()

        def moved(r, row=row, answer=answer):
            return divergence(model.head, answer, model((row + r)[None]))[0]

        hessian = torch.autograd.functional.hessian(moved, torch.zeros(4, dtype=torch.float64))
        values, vectors = torch.linalg.eigh(hessian)
        assert values[-1] > 0
        if values[-1] < 1.05 * values[-2]:  # two directions as good as each other
            continue
        assert abs(torch.dot(vectors[:, -1], change / 1.5)) > 1 - 1e-4
        # one step of iteration already beats a random direction
        assert change @ hessian @ change > 0.99 * values[-1] * 1.5**2


def test_a_unit_for_each_feature():
    model = network("categorical")
    x = torch.zeros(3, 4, dtype=torch.float64)
    unit = torch.tensor([1.0, 0.0, 10.0, 0.1], dtype=torch.float64)
    found = virtual_adversarial(model, model.head, x, epsilon=unit, generator=generator(0))
    assert (found[:, 1] == 0).all()
    scaled = found[:, [0, 2, 3]] / unit[[0, 2, 3]]
    assert (scaled.norm(dim=1) <= 1 + 1e-9).all() and (scaled.norm(dim=1) > 0.5).all()


def partly(n=26, share=3):
    batch = rows(n, dtype=torch.float64)
    batch["targets"] = torch.where(torch.arange(n) % share == 0, batch["targets"], -1)
    return batch


def test_without_the_extra_term_it_is_the_loss_of_labelled_rows():
    model, batch = classifier(dtype=torch.float64), partly()
    known = batch["targets"] >= 0
    batch["weights"] = torch.linspace(0.5, 2, 26, dtype=torch.float64)
    loss = semi_supervised_loss(model.head, weight=0.0)(model, batch, generator(0))
    labelled = head_loss(model.head)(model, {k: v[known] for k, v in batch.items()}, generator(0))
    torch.testing.assert_close(loss.total, labelled.total)
    assert loss.count == batch["weights"].sum()
    batch["labelled"] = known.double() * 3
    torch.testing.assert_close(
        semi_supervised_loss(model.head, weight=0.0)(model, batch, generator(0)).total, 3 * labelled.total
    )


def test_virtual_adversarial_adds_the_divergence_of_every_row():
    model, batch = classifier(dtype=torch.float64), partly()
    with_it, without = (
        semi_supervised_loss(model.head, weight=w, epsilon=0.5)(model, batch, generator(5)).total for w in (2.0, 0.0)
    )
    change = virtual_adversarial(model, model.head, batch["inputs"], epsilon=0.5, generator=generator(5))
    extra = divergence(model.head, model(batch["inputs"]), model(batch["inputs"] + change)).sum()
    torch.testing.assert_close(with_it, without + 2 * extra)


def test_the_answer_itself_gets_no_gradient_from_the_divergence():
    """Only q is pulled to p: otherwise the network may become unsure of everything."""
    model, batch = classifier(dtype=torch.float64), partly()
    batch["targets"][:] = -1
    change = virtual_adversarial(model, model.head, batch["inputs"], epsilon=0.5, generator=generator(5))
    answer = model(batch["inputs"]).detach()
    extra = divergence(model.head, answer, model(batch["inputs"] + change)).sum()
    loss = semi_supervised_loss(model.head, epsilon=0.5)(model, batch, generator(5)).total
    for one, other in zip(
        torch.autograd.grad(loss, list(model.parameters())),
        torch.autograd.grad(extra, list(model.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_pseudo_labels_are_the_networks_own_sure_answers():
    model, batch = classifier(dtype=torch.float64), partly()
    probabilities = model.head.probabilities(model(batch["inputs"])).detach()
    middle = float(probabilities.amax(1).median())
    labels, sure = pseudo_labels(probabilities, middle)
    assert 10 <= int(sure.sum()) <= 16
    filled = torch.where(batch["targets"] >= 0, batch["targets"], labels)
    used = (batch["targets"] >= 0) | sure
    exact = head_loss(model.head)(model, {"inputs": batch["inputs"][used], "targets": filled[used]}, generator(0))
    found = semi_supervised_loss(model.head, "pseudo_label", confidence=middle)(model, batch, generator(0))
    torch.testing.assert_close(found.total, exact.total)
    assert found.count == 26.0


def test_pseudo_labels_are_made_without_dropout():
    model, batch = classifier(dtype=torch.float64, dropout=0.9), partly()
    with evaluating_off(model):
        probabilities = model.head.probabilities(model(batch["inputs"]))
    sure = float((probabilities.amax(1) >= 0.4).double().mean())
    assert 0 < sure < 1
    with isolated(3):
        first = semi_supervised_loss(model.head, "pseudo_label", confidence=0.4)(model, batch, generator(0))
    assert first.total.isfinite() and model.training


def evaluating_off(model):
    from gradus.training.adversarial import evaluating

    return evaluating(model)


@pytest.mark.parametrize("method", ["virtual_adversarial", "pseudo_label"])
def test_parts_of_a_batch_add_up(method):
    """Pseudo-labels exactly; virtual adversarial changes are drawn, so there the first direction has to be none."""
    model, batch = classifier(dtype=torch.float64), partly()
    loss = semi_supervised_loss(model.head, method, iterations=300, confidence=0.5, epsilon=0.3)
    whole = loss(model, batch, generator(0))
    parts = [loss(model, {k: v[a:b] for k, v in batch.items()}, generator(1)) for a, b in ((0, 3), (3, 26))]
    assert sum(p.count for p in parts) == whole.count
    torch.testing.assert_close(sum(p.total for p in parts), whole.total, rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    ("head", "wrong", "sentence"),
    [
        (CategoricalHead(2, 2), {"method": "pseudo_labels"}, "did you mean 'pseudo_label'"),
        (MultiLabelHead(2, 2), {}, "a head over classes"),
        (GaussianHead(2), {}, "a head over classes"),
        (CategoricalHead(2, 2), {"weight": -1.0}, "weight of 0 or more"),
        (CategoricalHead(2, 2), {"confidence": 1.5}, "confidence in"),
    ],
)
def test_wrong_settings_are_refused(head, wrong, sentence):
    with pytest.raises(SettingError, match=sentence):
        semi_supervised_loss(head, **wrong)
    for bad in ({"iterations": 0}, {"probe": 0.0}, {"epsilon": -1.0}):
        with pytest.raises(SettingError):
            virtual_adversarial(head, head, torch.zeros(1, 2), **{"epsilon": 1.0, "generator": generator(0), **bad})
