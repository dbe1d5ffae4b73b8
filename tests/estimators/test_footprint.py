"""Networks too large for the machine: counted to the last parameter, refused in a sentence before they are built."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from estimators.cases import ESTIMATORS, data_for, name_of, small
from gradus.applications.vision import ImageClassifier
from gradus.core.errors import SettingError
from gradus.core.options import settings_of
from gradus.estimators import footprint
from gradus.estimators.footprint import check_footprint
from gradus.estimators.mlp import MLPClassifier, MLPRegressor

CPU = torch.device("cpu")
every = pytest.mark.parametrize("cls", ESTIMATORS, ids=name_of)


def counted(error):
    return int(re.search(r"got ([\d,]+)", str(error.value))[1].replace(",", ""))


@pytest.mark.parametrize("hidden", [(10**7, 10**7), (10**12,), (10**30, 10**30), (10**400,)], ids=lambda h: len(str(h)))
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor], ids=name_of)
def test_huge_layers_are_refused_in_a_sentence(cls, hidden):
    X, y = data_for(cls)
    model = small(cls, hidden=hidden)
    with pytest.raises(
        SettingError, match=r"expected a network of at most .* got .* GB .* set fewer or smaller layers"
    ):
        model.fit(X, y)
    assert not model.__sklearn_is_fitted__()


@pytest.mark.parametrize(
    "settings", [{"network": "mlp", "hidden": (10**7, 10**7)}, {"features": 10**12}, {"channels": (10**7, 10**7)}]
)
def test_huge_networks_of_images_too(settings):
    X, y = data_for(ImageClassifier)
    with pytest.raises(SettingError, match="a network of at most"):
        small(ImageClassifier, **settings).fit(X, y)


@every
def test_the_count_is_exact(cls, monkeypatch):
    """Beside the network itself: some of its tensors are large enough to be made without memory, some are not."""
    X, y = data_for(cls)
    wide = {"hidden": (300, 500), "features": 700} if "features" in settings_of(cls) else {"hidden": (300, 500)}
    fitted = small(cls, **wide, max_epochs=0).fit(X, y)
    with monkeypatch.context() as patched:
        patched.setattr(footprint, "memory_limit", lambda: 1000)
        with pytest.raises(SettingError) as error:
            small(cls, **wide).fit(X, y)
    assert counted(error) == sum(p.numel() for p in fitted.network_.parameters())


@pytest.mark.parametrize(("optimizer", "numbers"), [("sgd", 2), ("momentum", 3), ("adam", 4), ("adamw", 4)])
def test_what_the_optimizer_remembers_counts(optimizer, numbers, monkeypatch):
    """Weights, gradients and, by torch's own state, what each optimizer keeps of every parameter."""
    layer = nn.Linear(50, 40)
    from gradus.training.optimizers import build_optimizers
    from gradus.training.options import TrainingOptions

    (made,) = build_optimizers(layer.parameters(), TrainingOptions(optimizer=optimizer))
    layer(torch.ones(1, 50)).sum().backward()
    made.step()
    kept = sum(v.numel() for state in made.state.values() for v in state.values() if torch.is_tensor(v) and v.ndim)
    size = sum(p.numel() for p in layer.parameters())
    assert kept == (numbers - 2) * size
    needed = 4 * numbers * size
    monkeypatch.setattr(footprint, "memory_limit", lambda: needed)
    check_footprint(lambda: nn.Linear(50, 40), optimizer=optimizer, device=CPU)
    monkeypatch.setattr(footprint, "memory_limit", lambda: needed - 1)
    with pytest.raises(SettingError, match=f"memory of {optimizer}"):
        check_footprint(lambda: nn.Linear(50, 40), optimizer=optimizer, device=CPU)


def test_measuring_draws_nothing_and_leaves_no_tensor_without_memory():
    X, y = data_for(MLPClassifier)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = small(MLPClassifier, hidden=(400, 400)).fit(X, y)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(tensor.is_meta for tensor in model.network_.state_dict().values())
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_network_that_computes_with_its_weights_while_built_is_let_pass():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(600, 600)
            self.norm = float(self.linear.weight.norm())

    check_footprint(Odd, optimizer="adam", device=CPU)
