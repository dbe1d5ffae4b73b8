"""The causes that the doctor knows: one row a code, published, so that scripts can rely on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CAUSES", "Cause", "Stage"]

Stage = Literal["program", "data", "wiring", "overfit", "dynamics", "generalization"]


@dataclass(frozen=True)
class Cause:
    """Why a network does not learn, or learns something else.

    Attributes
    ----------
    stage : str
        Where it is looked for first.
    what : str
        The fault, in one line.
    mend : str
        What to do about it.
    confirm : str
        The experiment that would show that it was this.
    section : str
        The book's section.
    """

    stage: Stage
    what: str
    mend: str
    confirm: str
    section: str


CAUSES: dict[str, Cause] = {
    # -- the program --------------------------------------------------------------------------------------------
    "program_fails": Cause(
        "program", "the program itself raises an error", "mend the line named", "run it again", "11.5"),
    # -- data ---------------------------------------------------------------------------------------------------
    "non_finite_data": Cause(
        "data", "inputs or targets hold NaN or infinity", "replace or drop those rows",
        "count the non-finite values again", "11.5"),
    "unnormalized_inputs": Cause(
        "data", "inputs on a scale that the network was not made for", "standardize inputs by training statistics",
        "train the same with standardized inputs", "8.4"),
    "constant_inputs": Cause(
        "data", "inputs that do not vary from row to row", "look at how they are read and prepared",
        "compare two rows", "11.5"),
    "leaking_rows": Cause(
        "data", "the same rows in training and validation", "split by row identity, or by group",
        "measure on rows that training has not seen", "5.3"),
    "target_in_inputs": Cause(
        "data", "a column of the inputs gives the target away", "remove the column",
        "train without it", "11.5"),
    "label_order": Cause(
        "data", "rows come sorted by label and are not shuffled", "shuffle the rows each epoch",
        "train once with shuffled rows", "8.1.3"),
    "label_imbalance": Cause(
        "data", "one class is nearly everything and the network answers nothing else",
        "weight the classes or resample, and judge by a metric that minds", "look at recall by class", "11.1"),
    "label_noise": Cause(
        "data", "many targets contradict their inputs", "look at the rows with the largest loss",
        "relabel a sample by hand", "7.5.1"),
    "shuffled_pairs": Cause(
        "data", "inputs and targets no longer belong together", "apply one and the same permutation to both",
        "look at a few pairs", "11.5"),
    "wrong_target_coding": Cause(
        "data", "targets are not coded as the loss reads them (type, range, one-hot, offset)",
        "code them as the loss's documentation says", "print a few targets beside the outputs", "6.2"),
    "target_scale": Cause(
        "data", "targets are orders of magnitude away from what outputs start at", "standardize the targets",
        "train the same on standardized targets", "6.2.2.1"),
    "target_broadcast": Cause(
        "data", "outputs (B, 1) against targets (B,) are broadcast to (B, B)", "give both the same shape",
        "print the shape of output - target", "6.2"),
    "inconsistent_preparation": Cause(
        "data", "validation rows are prepared otherwise than training rows", "prepare both by training statistics",
        "compare mean and spread of both", "11.5"),
    "scrambled_inputs": Cause(
        "data", "a reshape has mixed axes that mean something (view instead of transpose)",
        "use permute or transpose where axes change places", "look at one input as a picture", "9.1"),
    "destructive_augmentation": Cause(
        "data", "augmentation or preparation destroys what tells the classes apart", "use milder transformations",
        "train without", "7.4"),
    # -- wiring -------------------------------------------------------------------------------------------------
    "loss_activation_mismatch": Cause(
        "wiring", "the output's activation is not what the loss expects (softmax before cross-entropy, ...)",
        "give the loss what it expects: logits, log-probabilities or probabilities", "train once without it", "6.2.2"),
    "output_range": Cause(
        "wiring", "the output's activation cannot reach the targets", "let the output be linear, or rescale targets",
        "compare the ranges of outputs and targets", "6.2.2.1"),
    "wrong_loss": Cause(
        "wiring", "the loss does not measure the task (squared error for classes, wrong sign, ...)",
        "use the negative log-likelihood of the targets", "train once with it", "6.2.1"),
    "wrong_axis": Cause(
        "wiring", "softmax, normalization or reduction runs over the wrong axis (over the examples)",
        "name the axis: dim=1 for (batch, classes)", "sum the probabilities of one example", "6.2.2.3"),
    "output_width": Cause(
        "wiring", "the output layer has not as many units as the task needs", "one unit a class or a target",
        "compare its width with the classes", "6.2.2"),
    "initial_loss": Cause(
        "wiring", "the loss before training is far from what chance gives", "check scale and biases of the last layer",
        "compare with ln K", "8.4"),
    "no_gradient": Cause(
        "wiring", "parameters get no gradient: the graph is cut (detach, no_grad, .data, argmax, NumPy)",
        "remove what cuts the graph", "look at parameter.grad after backward", "6.5"),
    "not_in_optimizer": Cause(
        "wiring", "parameters that get gradients are not given to the optimizer", "pass network.parameters()",
        "compare parameters before and after a step", "11.5"),
    "unregistered_layers": Cause(
        "wiring", "layers in a Python list or dict are unknown to the network", "use nn.ModuleList or nn.ModuleDict",
        "count network.parameters()", "11.5"),
    "frozen_parameters": Cause(
        "wiring", "layers are frozen that the task needs trained", "set requires_grad=True",
        "train once with them free", "8.7.4"),
    "missing_zero_grad": Cause(
        "wiring", "gradients of earlier steps are never cleared", "call optimizer.zero_grad() before backward",
        "compare the gradient of two steps", "11.5"),
    "missing_step": Cause(
        "wiring", "the optimizer takes no step", "call optimizer.step() after backward",
        "compare parameters before and after", "11.5"),
    "missing_backward": Cause(
        "wiring", "the loss is never differentiated", "call loss.backward()", "look at parameter.grad", "11.5"),
    "wrong_step_order": Cause(
        "wiring", "zero_grad, backward and step in an order that loses the gradient",
        "zero_grad, forward, backward, step", "compare parameters before and after", "11.5"),
    "accumulation_unscaled": Cause(
        "wiring", "gradients are accumulated over batches without dividing by their number",
        "divide the loss by the number of accumulated batches", "compare with one large batch", "8.1.3"),
    "sum_reduction": Cause(
        "wiring", "the loss is a sum over the batch, so the step grows with its size",
        "use the mean, or divide the learning rate by the batch size", "halve the batch size", "8.1.3"),
    "eval_in_training": Cause(
        "wiring", "the network trains in evaluation mode (dropout and batch statistics off)",
        "call network.train() before training", "print network.training in the step", "7.12"),
    "train_in_evaluation": Cause(
        "wiring", "the network is evaluated in training mode (dropout on, batch statistics)",
        "call network.eval() before evaluating", "evaluate twice and compare", "7.12"),
    "mixed_examples": Cause(
        "wiring", "one example's output depends on another's input", "keep the batch axis apart in every reshape",
        "gradient of one output with respect to the other inputs", "11.5"),
    "causality_leak": Cause(
        "wiring", "a sequence model sees what it is to predict", "mask the future, or shift the targets",
        "gradient of an output with respect to later inputs", "10.2"),
    "padding_leak": Cause(
        "wiring", "padding changes the answer, or is counted in the loss", "mask or pack the padding",
        "change the padding and compare", "10.2"),
    "shared_state": Cause(
        "wiring", "state or parameters are shared that should not be (hidden state across batches, a layer used "
        "twice, data changed in place)", "make a new one each time", "run one batch twice", "11.5"),
    "wrong_gradient": Cause(
        "wiring", "a hand-written backward does not agree with finite differences", "correct it, or let autograd do it",
        "torch.autograd.gradcheck in float64", "11.5"),
    "tiny_batch_norm": Cause(
        "wiring", "batch normalization over very few values", "use larger batches, or group or layer normalization",
        "train with a larger batch", "8.7.1"),
    "misplaced_layer": Cause(
        "wiring", "a layer stands where it does harm (dropout or ReLU on the output, normalization before the loss)",
        "remove or move it", "train once without it", "6.2.2"),
    "missing_nonlinearity": Cause(
        "wiring", "linear layers follow each other with nothing between: together they are one linear map",
        "put a nonlinearity between", "compare with a linear model", "6.1"),
    "symmetric_initialization": Cause(
        "wiring", "units start with equal weights and stay equal", "initialize at random",
        "compare the rows of the weight after some steps", "8.4"),
    "initialization_scale": Cause(
        "wiring", "weights start so large or small that signals explode or vanish from layer to layer",
        "use Glorot or He initialization", "compare the spread of activations by layer", "8.4"),
    # -- dynamics -----------------------------------------------------------------------------------------------
    "learning_rate_too_high": Cause(
        "dynamics", "steps overshoot: the loss jumps, grows or is not finite", "lower the learning rate",
        "train with a tenth of it", "11.4.1"),
    "learning_rate_too_low": Cause(
        "dynamics", "steps are so small that the loss hardly moves", "raise the learning rate",
        "train with ten times as much", "11.4.1"),
    "schedule": Cause(
        "dynamics", "the schedule takes the learning rate away too early, or lets it grow",
        "let it decay over the whole training", "train with a constant rate", "8.3.1"),
    "optimizer_settings": Cause(
        "dynamics", "momentum, betas or epsilon of the optimizer keep it from learning", "go back to the defaults",
        "train with the defaults", "8.5"),
    "gradient_clip": Cause(
        "dynamics", "clipping leaves next to nothing of the gradient", "clip at the usual norm, or not at all",
        "train without clipping", "10.11.1"),
    "too_few_updates": Cause(
        "dynamics", "training ends long before the loss is down", "train for more epochs, or with smaller batches",
        "train three times as long", "7.8"),
    "vanishing_gradients": Cause(
        "dynamics", "gradients fade towards the first layers",
        "use ReLU-like units, residual connections, normalization or a gated cell", "compare gradients by layer",
        "8.2.5"),
    "exploding_gradients": Cause(
        "dynamics", "gradients grow towards the first layers or steps", "clip gradients, lower the initial scale",
        "train with gradient clipping", "8.2.4"),
    "dead_units": Cause(
        "dynamics", "most rectified units are zero for every example", "lower the learning rate, or use leaky units",
        "count the units that ever fire", "6.3.1"),
    "saturated_units": Cause(
        "dynamics", "most sigmoid or tanh units sit at their ends", "scale inputs and initial weights down",
        "histogram of activations", "6.3.2"),
    "non_finite": Cause(
        "dynamics", "a number becomes NaN or infinite in training", "guard the operation named (log, sqrt, division)",
        "torch.autograd.set_detect_anomaly", "4.1"),
    "excessive_regularization": Cause(
        "dynamics", "weight decay, dropout or another penalty outweighs the data", "weaken it",
        "train once without it", "7.1"),
    "unbalanced_players": Cause(
        "dynamics", "of two players one gets no useful gradient, or trains the other's parameters",
        "give each its own parameters and loss, detach where the other must not move", "watch both losses", "20.10.4"),
    "collapse": Cause(
        "dynamics", "the answer no longer depends on the input", "look at what ignores it (posterior, attention, mask)",
        "compare the outputs of two inputs", "20.10.3"),
    # -- structure and generalization ---------------------------------------------------------------------------
    "bottleneck": Cause(
        "generalization", "a layer is too narrow for what has to pass", "widen it",
        "train once with it wider", "5.2"),
    "underfitting": Cause(
        "generalization", "the training error stays above what a simple baseline reaches",
        "a larger network, better features, longer training", "overfit one batch", "11.3"),
    "overfitting": Cause(
        "generalization", "training is right and validation is not", "more data, regularization, early stopping",
        "learning curves", "11.3"),
    "wrong_evaluation": Cause(
        "generalization", "the measured score is not what it says (wrong axis, wrong rows, thresholded logits, ...)",
        "compute it anew on the validation rows", "compare with a score computed apart", "11.1"),
}  # fmt: skip
