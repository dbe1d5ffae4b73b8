"""Networks that carry a state along a sequence or up a tree (chapter 10)."""

from __future__ import annotations

from gradus.networks.recurrent.attention import AdditiveAttention, DotAttention
from gradus.networks.recurrent.echo_state import EchoStateNetwork, spectral_radius
from gradus.networks.recurrent.layers import LeakyLayer, MultiscaleLayer
from gradus.networks.recurrent.network import CELLS, Recurrence, RecurrentNetwork, SequenceFeatures, detached
from gradus.networks.recurrent.seq2seq import DecoderState, Seq2Seq, Translation
from gradus.networks.recurrent.tree import COMPOSITIONS, Composed, Forest, TreeNetwork
from gradus.networks.recurrent.turing import CONTROLLERS, NeuralTuringMachine, TuringRun, TuringState

__all__ = [
    "CELLS",
    "COMPOSITIONS",
    "CONTROLLERS",
    "AdditiveAttention",
    "Composed",
    "DecoderState",
    "DotAttention",
    "EchoStateNetwork",
    "Forest",
    "LeakyLayer",
    "MultiscaleLayer",
    "NeuralTuringMachine",
    "Recurrence",
    "RecurrentNetwork",
    "Seq2Seq",
    "SequenceFeatures",
    "Translation",
    "TreeNetwork",
    "TuringRun",
    "TuringState",
    "detached",
    "spectral_radius",
]
