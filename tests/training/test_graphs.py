import pytest
import torch

from gradus.training.graphs import graph_refusal
from training.small import trainer

CUDA = torch.device("cuda", 0)


def stateless(network, batch, source):
    return None


class Stateful:
    def state_dict(self):
        return {}


class Unwilling:
    capturable = False


@pytest.mark.parametrize(
    ("loss", "changes", "why"),
    [
        (stateless, {}, None),
        (stateless, {"optimizer": "momentum"}, None),
        (stateless, {"optimizer": "muon"}, "muon does not read its learning rate from the device"),
        (stateless, {"optimizer": "lbfgs"}, "lbfgs does not read its learning rate from the device"),
        (stateless, {"asked": False}, "cuda_graphs is off"),
        (stateless, {"device": torch.device("cpu")}, "the device is cpu"),
        (Stateful(), {}, "the loss keeps state in Python"),
        (Unwilling(), {}, "the loss keeps state in Python"),
    ],
)
def test_a_player_is_recorded_where_nothing_forbids_it(loss, changes, why):
    assert graph_refusal(loss, **{"device": CUDA, "optimizer": "adam", "asked": True, **changes}) == why


def test_on_the_processor_steps_run_as_ever():
    run = trainer(cuda_graphs=True)
    run.run()
    assert run.players[0].execution == "eager" and run.players[0]._graph is None
