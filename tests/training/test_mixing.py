"""Mixed and hidden inputs: what must be kept, what the shares' distribution is, what the losses add up to."""

import pytest
import torch
from scipy.stats import beta, kstest

from gradus.core.errors import InputError, SettingError
from gradus.core.randomness import generator
from gradus.networks import GaussianHead
from gradus.training.losses import head_loss
from gradus.training.mixing import corrupt, cutout_loss, mixup, mixup_loss
from training.small import classifier, rows


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha):
    mixed = mixup(torch.zeros(5000, 1, dtype=torch.float64), alpha, generator(0))
    assert kstest(mixed.share.numpy(), beta(alpha, alpha).cdf).pvalue > 1e-4
    assert sorted(mixed.partner.tolist()) == list(range(5000))


def test_each_example_is_between_itself_and_its_partner():
    x = torch.randn(9, 2, 3, generator=generator(1), dtype=torch.float64)
    mixed = mixup(x, 1.0, generator(2))
    share = mixed.share[:, None, None]
    torch.testing.assert_close(mixed.inputs, share * x + (1 - share) * x[mixed.partner])
    torch.testing.assert_close(mixup(x, 1.0, generator(2)).inputs, mixed.inputs, rtol=0, atol=0)


def test_the_loss_is_both_targets_loss_at_the_mixed_input():
    model, batch = classifier(dtype=torch.float64), rows(dtype=torch.float64)
    batch["weights"] = torch.linspace(0.0, 2, 26, dtype=torch.float64)
    found = mixup_loss(model.head, alpha=1.0)(model, batch, generator(4))
    mixed = mixup(batch["inputs"], 1.0, generator(4))
    expected = 0.0
    for i in range(26):
        j = int(mixed.partner[i])
        for k, part in ((i, mixed.share[i]), (j, 1 - mixed.share[i])):
            one = {"inputs": mixed.inputs[i : i + 1], "targets": batch["targets"][k : k + 1]}
            expected += part * batch["weights"][k] * head_loss(model.head)(model, one, generator(0)).total
    torch.testing.assert_close(found.total, expected)
    assert found.count == batch["weights"].sum()


def test_for_squared_errors_of_a_linear_model_mixing_targets_is_the_same_gradient():
    """λ (f - y)² + (1 - λ)(f - y')² and (f - λ y - (1 - λ) y')² differ by a constant: the paper's two forms agree."""
    head = GaussianHead(4).double()
    batch = {"inputs": rows(dtype=torch.float64)["inputs"], "targets": torch.linspace(-1, 2, 26).double()}
    loss = mixup_loss(head, alpha=1.0)(head, batch, generator(4)).total
    mixed = mixup(batch["inputs"], 1.0, generator(4))
    targets = mixed.share * batch["targets"] + (1 - mixed.share) * batch["targets"][mixed.partner]
    direct = head_loss(head)(head, {"inputs": mixed.inputs, "targets": targets}, generator(0)).total
    for one, other in zip(
        torch.autograd.grad(loss, list(head.parameters())),
        torch.autograd.grad(direct, list(head.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_swapped_entries_keep_each_columns_distribution():
    x = torch.stack([torch.arange(4000.0), 5 * torch.ones(4000)], 1)
    done = corrupt(x, 0.3, generator(0))
    assert (done.inputs[:, 1] == 5).all()
    assert (done.inputs[~done.replaced] == x[~done.replaced]).all()
    # 8000 entries, standard error 0.005: six of them are passed by chance once in a billion
    assert abs(done.replaced.double().mean().item() - 0.3) < 0.031
    new = done.inputs[:, 0][done.replaced[:, 0]]
    assert len(new.unique()) > 0.7 * len(new) and (new % 1 == 0).all()
    assert kstest(new.numpy() / 4000, "uniform").pvalue > 1e-5


def test_hidden_entries_get_the_fill():
    x = torch.randn(50, 3, 4, generator=generator(0))
    done = corrupt(x, 0.5, generator(1), fill=torch.arange(4.0))
    assert torch.equal(done.inputs[done.replaced], torch.arange(4.0).expand_as(x)[done.replaced])
    assert torch.equal(corrupt(x, 0.0, generator(1)).inputs, x)
    assert torch.equal(corrupt(x, 1.0, generator(1), fill=7.0).inputs, torch.full_like(x, 7.0))


def test_the_cutout_loss_is_the_loss_of_hidden_inputs():
    model, batch = classifier(dtype=torch.float64), rows(dtype=torch.float64)
    found = cutout_loss(head_loss(model.head), share=0.4, fill=0.0)(model, batch, generator(3))
    hidden = corrupt(batch["inputs"], 0.4, generator(3), fill=0.0).inputs
    exact = head_loss(model.head)(model, {**batch, "inputs": hidden}, generator(0))
    torch.testing.assert_close(found.total, exact.total)
    assert found.count == 26.0


def test_wrong_settings_are_refused():
    x, counts = torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.int64)
    for alpha in (0.0, -1.0, float("nan")):
        with pytest.raises(SettingError, match="positive alpha"):
            mixup(x, alpha, generator(0))
        with pytest.raises(SettingError, match="positive alpha"):
            mixup_loss(GaussianHead(2), alpha=alpha)
    for share in (-0.1, 1.1):
        with pytest.raises(SettingError, match="share in"):
            corrupt(x, share, generator(0))
        with pytest.raises(SettingError, match="share in"):
            cutout_loss(head_loss(GaussianHead(2)), share=share)
    for change in (lambda: mixup(counts, 1.0, generator(0)), lambda: corrupt(counts, 0.1, generator(0))):
        with pytest.raises(InputError, match="floating-point"):
            change()
