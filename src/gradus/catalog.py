"""The book's table of contents as data: section, method, where it lives, how to try it.

The command line, the documentation and the completeness test read this table. Importing it loads
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CATALOG", "PUBLIC", "SECTIONS", "Entry", "within"]

Kind = Literal[
    "estimator",
    "network",
    "layer",
    "head",
    "loss",
    "optimizer",
    "schedule",
    "regularizer",
    "training",
    "practice",
]


@dataclass(frozen=True)
class Entry:
    """One method of the book.

    Parameters
    ----------
    name : str
        The field's standard term; for an estimator, the name of its class.
    section : str
        Number of a chapter or section, a key of `SECTIONS`.
    kind : str
        What it is.
    where : str
        ``module:attribute``.
    summary : str
        One line.
    try_it : str
        A command or a line of Python.
    """

    name: str
    section: str
    kind: Kind
    where: str
    summary: str
    try_it: str


def within(section: str, parent: str) -> bool:
    """Whether ``section`` is ``parent`` or lies inside it.

    Examples
    --------
    >>> within("7.12", "7"), within("7.12", "7.1")
    (True, False)
    """
    return section == parent or section.startswith(parent + ".")


SECTIONS: dict[str, str] = {
    "5": "Machine Learning Basics",
    "5.5": "Maximum Likelihood Estimation",
    "6": "Deep Feedforward Networks",
    "6.2": "Gradient-Based Learning",
    "6.2.2": "Output Units",
    "6.2.2.1": "Linear Units for Gaussian Output Distributions",
    "6.2.2.2": "Sigmoid Units for Bernoulli Output Distributions",
    "6.2.2.3": "Softmax Units for Multinoulli Output Distributions",
    "6.2.2.4": "Other Output Types",
    "6.3": "Hidden Units",
    "6.4": "Architecture Design",
    "7": "Regularization for Deep Learning",
    "7.1": "Parameter Norm Penalties",
    "7.1.1": "L2 Parameter Regularization",
    "7.1.2": "L1 Regularization",
    "7.2": "Norm Penalties as Constrained Optimization",
    "7.5": "Noise Robustness",
    "7.5.1": "Injecting Noise at the Output Targets",
    "7.8": "Early Stopping",
    "7.12": "Dropout",
    "8": "Optimization for Training Deep Models",
    "8.1": "How Learning Differs from Pure Optimization",
    "8.1.3": "Batch and Minibatch Algorithms",
    "8.3": "Basic Algorithms",
    "8.3.1": "Stochastic Gradient Descent",
    "8.3.2": "Momentum",
    "8.3.3": "Nesterov Momentum",
    "8.4": "Parameter Initialization Strategies",
    "8.5": "Algorithms with Adaptive Learning Rates",
    "8.5.1": "AdaGrad",
    "8.5.2": "RMSProp",
    "8.5.3": "Adam",
    "8.6": "Approximate Second-Order Methods",
    "8.6.3": "BFGS",
    "8.7": "Optimization Strategies and Meta-Algorithms",
    "8.7.1": "Batch Normalization",
    "8.7.3": "Polyak Averaging",
    "9": "Convolutional Networks",
    "9.3": "Pooling",
    "10": "Sequence Modeling: Recurrent and Recursive Nets",
    "10.11": "Optimization for Long-Term Dependencies",
    "10.11.1": "Clipping Gradients",
    "11": "Practical Methodology",
    "11.1": "Performance Metrics",
    "11.2": "Default Baseline Models",
    "12": "Applications",
    "12.2": "Computer Vision",
}

CATALOG: tuple[Entry, ...] = (
    Entry("MLPClassifier", "6", "estimator", "gradus.estimators.mlp:MLPClassifier",
          "multilayer perceptron for classes", "gradus config MLPClassifier"),
    Entry("MLPRegressor", "6", "estimator", "gradus.estimators.mlp:MLPRegressor",
          "multilayer perceptron for numbers and their distribution", "gradus config MLPRegressor"),
    Entry("TabularClassifier", "12", "estimator", "gradus.applications.tabular:TabularClassifier",
          "classes from a table of numbers, categories, dates and gaps", "gradus fit wine"),
    Entry("TabularRegressor", "12", "estimator", "gradus.applications.tabular:TabularRegressor",
          "numbers from a table of numbers, categories, dates and gaps", "gradus fit diabetes"),
    Entry("ImageClassifier", "12.2", "estimator", "gradus.applications.vision:ImageClassifier",
          "classes of images, by a perceptron or a small convolutional network", "gradus fit digits"),
    Entry("MLP", "6.4", "network", "gradus.networks:MLP",
          "affine maps and activations in a chain, with dropout, normalization and residual links",
          "from gradus.networks import MLP; MLP(64, (128, 32))"),
    Entry("TabularNetwork", "12", "network", "gradus.networks:TabularNetwork",
          "numbers standardized, gaps marked, categories embedded, then a perceptron",
          "from gradus.networks import TabularNetwork"),
    Entry("ConvNet", "9.3", "network", "gradus.networks:ConvNet",
          "blocks of convolution, pooling and rectifier, then one dense layer",
          "from gradus.networks import ConvNet; ConvNet(1, 28)"),
    Entry("HeadedNetwork", "6.4", "network", "gradus.networks:HeadedNetwork",
          "preparation, body and head as one module", "from gradus.networks import HeadedNetwork"),
    Entry("hidden units", "6.3", "layer", "gradus.networks:ACTIVATIONS",
          "rectifiers (leaky, parametric, absolute), ELU, SELU, GELU, SiLU, tanh, sigmoid, softplus",
          'from gradus.networks import MLP; MLP(64, activation="gelu")'),
    Entry("initialization", "8.4", "layer", "gradus.networks.feedforward:initialize",
          "He, Glorot, LeCun and orthogonal weights, with the gain of the activation",
          'from gradus.networks import MLP; MLP(64, initialization="orthogonal")'),
    Entry("Standardize", "8.7.1", "layer", "gradus.networks:Standardize",
          "mean zero and variance one, as the first layer of the model",
          "from gradus.networks import Standardize"),
    Entry("PixelScale", "12.2", "layer", "gradus.networks:PixelScale",
          "whole-number pixels to centred floats, as the first layer of the model",
          "from gradus.networks import PixelScale"),
    Entry("CategoricalHead", "6.2.2.3", "head", "gradus.networks:CategoricalHead",
          "softmax over classes", "from gradus.networks import CategoricalHead; CategoricalHead(8, 3)"),
    Entry("BinaryHead", "6.2.2.2", "head", "gradus.networks:BinaryHead",
          "sigmoid for two classes", "from gradus.networks import BinaryHead; BinaryHead(8)"),
    Entry("MultiLabelHead", "6.2.2.2", "head", "gradus.networks:MultiLabelHead",
          "an independent sigmoid for each label",
          "from gradus.networks import MultiLabelHead; MultiLabelHead(8, 3)"),
    Entry("OrdinalHead", "6.2.2", "head", "gradus.networks:OrdinalHead",
          "classes in an order, by cumulative thresholds",
          "from gradus.networks import OrdinalHead; OrdinalHead(8, 3)"),
    Entry("GaussianHead", "6.2.2.1", "head", "gradus.networks:GaussianHead",
          "mean of a Gaussian, with a fixed or learned variance",
          "from gradus.networks import GaussianHead; GaussianHead(8)"),
    Entry("MixtureDensityHead", "6.2.2.4", "head", "gradus.networks:MixtureDensityHead",
          "mixture of Gaussians for answers with several modes",
          "from gradus.networks import MixtureDensityHead; MixtureDensityHead(8)"),
    Entry("QuantileHead", "6.2.2", "head", "gradus.networks:QuantileHead",
          "quantiles of the answer by the pinball loss",
          "from gradus.networks import QuantileHead; QuantileHead(8)"),
    Entry("PoissonHead", "6.2.2", "head", "gradus.networks:PoissonHead",
          "counts, with variance equal to the mean",
          "from gradus.networks import PoissonHead; PoissonHead(8)"),
    Entry("NegativeBinomialHead", "6.2.2", "head", "gradus.networks:NegativeBinomialHead",
          "counts that spread wider than a Poisson",
          "from gradus.networks import NegativeBinomialHead; NegativeBinomialHead(8)"),
    Entry("maximum likelihood", "5.5", "loss", "gradus.training.losses:head_loss",
          "the negative log-likelihood of a head, as a sum and a count",
          "from gradus.training.losses import head_loss"),
    Entry("sgd", "8.3.1", "optimizer", "gradus.training.optimizers:build_optimizers",
          "stochastic gradient descent", "gradus fit digits --set optimizer=sgd"),
    Entry("momentum", "8.3.2", "optimizer", "gradus.training.optimizers:build_optimizers",
          "gradients averaged with exponential forgetting", "gradus fit digits --set optimizer=momentum"),
    Entry("nesterov", "8.3.3", "optimizer", "gradus.training.optimizers:build_optimizers",
          "momentum with the gradient taken ahead", "gradus fit digits --set optimizer=nesterov"),
    Entry("adagrad", "8.5.1", "optimizer", "gradus.training.optimizers:build_optimizers",
          "step sizes from all past squared gradients", "gradus fit digits --set optimizer=adagrad"),
    Entry("rmsprop", "8.5.2", "optimizer", "gradus.training.optimizers:build_optimizers",
          "step sizes from recent squared gradients", "gradus fit digits --set optimizer=rmsprop"),
    Entry("adam", "8.5.3", "optimizer", "gradus.training.optimizers:build_optimizers",
          "momentum and adaptive step sizes, bias corrected", "gradus fit digits --set optimizer=adam"),
    Entry("adamw", "8.5.3", "optimizer", "gradus.training.optimizers:build_optimizers",
          "Adam with decoupled weight decay", "gradus fit digits --set optimizer=adamw"),
    Entry("muon", "8.5", "optimizer", "gradus.training.optimizers:build_optimizers",
          "momentum with orthogonalized updates of weight matrices",
          "gradus fit digits --set optimizer=muon"),
    Entry("lbfgs", "8.6.3", "optimizer", "gradus.training.optimizers:build_optimizers",
          "limited-memory BFGS", "gradus fit digits --set optimizer=lbfgs"),
    Entry("constant", "8.3.1", "schedule", "gradus.training.schedules:factor",
          "one learning rate throughout", "gradus fit digits --set schedule=constant"),
    Entry("step", "8.3.1", "schedule", "gradus.training.schedules:factor",
          "learning rate cut by a factor every few epochs", "gradus fit digits --set schedule=step"),
    Entry("cosine", "8.3.1", "schedule", "gradus.training.schedules:factor",
          "learning rate along half a cosine to zero", "gradus fit digits --set schedule=cosine"),
    Entry("one_cycle", "8.3.1", "schedule", "gradus.training.schedules:factor",
          "learning rate up, then down to almost nothing", "gradus fit digits --set schedule=one_cycle"),
    Entry("plateau", "8.3.1", "schedule", "gradus.training.schedules:plateau_step",
          "learning rate cut when the loss stops falling", "gradus fit digits --set schedule=plateau"),
    Entry("warm-up", "8.3.1", "schedule", "gradus.training.schedules:factor",
          "learning rate risen linearly over the first updates", "gradus fit digits --set warmup_steps=50"),
    Entry("L2", "7.1.1", "regularizer", "gradus.training.regularizers:penalize_",
          "penalty on half the sum of squared weights", "gradus fit digits --set l2=0.001"),
    Entry("L1", "7.1.2", "regularizer", "gradus.training.regularizers:penalize_",
          "penalty on the sum of absolute weights", "gradus fit digits --set l1=0.0001"),
    Entry("max-norm", "7.2", "regularizer", "gradus.training.regularizers:constrain_norms_",
          "weights into one unit kept inside a ball", "gradus fit digits --set max_norm=3"),
    Entry("weight noise", "7.5", "regularizer", "gradus.training.regularizers:noisy_weights",
          "Gaussian noise on the weights in training", "gradus fit digits --set weight_noise=0.01"),
    Entry("label smoothing", "7.5.1", "regularizer", "gradus.training.losses:head_loss",
          "some of the target's probability spread over the other classes",
          "gradus fit digits --set label_smoothing=0.1"),
    Entry("dropout", "7.12", "regularizer", "gradus.networks:MLP",
          "units dropped at random in training", "gradus fit digits --set dropout=0.2"),
    Entry("early stopping", "7.8", "regularizer", "gradus.training.monitor:Monitor",
          "stop when validation stops improving, keep the best weights, or train again on everything",
          "gradus fit digits --set patience=5"),
    Entry("training loop", "8.1.3", "training", "gradus.training.loop:Trainer",
          "players, batches, a budget and callbacks", "from gradus.training.loop import Trainer"),
    Entry("Polyak averaging", "8.7.3", "training", "gradus.training.regularizers:Average",
          "answers from an average over the path of the weights",
          "gradus fit digits --set average_decay=0.99"),
    Entry("gradient clipping", "10.11.1", "training", "gradus.training.player:Player",
          "the norm of the gradient bounded", "gradus fit digits --set gradient_clip=1"),
    Entry("gradient accumulation", "8.1.3", "training", "gradus.training.player:Player",
          "a batch in parts with the gradient of the whole", "gradus fit digits --set accumulate=2"),
    Entry("checkpoints", "8.1.3", "training", "gradus.training.checkpoints:CheckpointStore",
          "a stopped run goes on to bit-identical weights",
          "from gradus.training.checkpoints import CheckpointStore"),
    Entry("metrics", "11.1", "practice", "gradus.practice.metrics:METRICS",
          "accuracy, F1, log loss, ROC area, R squared and others, by name",
          "from gradus.practice.metrics import METRICS"),
    Entry("score", "11.1", "practice", "gradus.practice.metrics:score",
          "a metric with its 95 % interval", "from gradus.practice.metrics import score"),
    Entry("compare", "11.1", "practice", "gradus.practice.metrics:compare",
          "two models on the same rows: the difference and its interval",
          "from gradus.practice.metrics import compare"),
    Entry("calibration", "11.1", "practice", "gradus.estimators.reliability:reliability_curve",
          "do events said to come with 70 % come in 70 % of cases?",
          "from gradus.estimators.reliability import reliability_curve"),
    Entry("baselines", "11.2", "practice", "gradus.practice.baselines:baselines",
          "trivial, linear and boosted-tree models to beat",
          'from gradus.practice.baselines import baselines; baselines("regression", "table", 1000, 8)'),
    Entry("ladder", "11.2", "practice", "gradus.practice.baselines:climb",
          "every rung fitted on the same rows, chosen on validation, tested once", "gradus fit iris"),
)  # fmt: skip

# What `from gradus import NAME` finds.
PUBLIC: dict[str, str] = {e.name: e.where.partition(":")[0] for e in CATALOG if e.kind == "estimator"}
