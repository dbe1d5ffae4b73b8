"""Echo state networks: a random recurrent reservoir, and a linear read-out in closed form (§10.8)."""

from __future__ import annotations

from math import sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from gradus.core.errors import InputError, SettingError
from gradus.networks.checks import check_sizes
from gradus.networks.recurrent.sequences import check_lengths, check_sequences, valid_positions

__all__ = ["EchoStateNetwork", "spectral_radius"]


def spectral_radius(matrix: Float[Tensor, "n n"]) -> float:
    """Return the largest absolute value of the eigenvalues, computed in float64.

    Examples
    --------
    >>> round(spectral_radius(torch.tensor([[0.0, 2.0], [-2.0, 0.0]])), 6)
    2.0

    References
    ----------
    Goodfellow et al. 2016, §10.8.
    """
    return float(torch.linalg.eigvals(matrix.detach().double()).abs().max())


def _symmetric(*shape: int) -> Tensor:
    """Draw uniformly from (-1, 1)."""
    return torch.rand(*shape, dtype=torch.float64) * 2 - 1


def _connections(width: int, density: float, radius: float) -> Tensor:
    """Draw sparse recurrent weights and scale them to a spectral radius."""
    drawn = _symmetric(width, width) * (torch.rand(width, width, dtype=torch.float64) < density)
    found = spectral_radius(drawn)
    # Without a cycle all eigenvalues are zero, but for rounding, and no scale gives them a size.
    if radius > 0 and found < 1e-6 * max(float(drawn.norm()), 1e-30):
        received = f"{int((drawn != 0).sum())} connections among {width} units without a cycle"
        raise SettingError("connections in which a signal can circulate", received, "raise density or width")
    return drawn * (radius / found) if radius > 0 else torch.zeros_like(drawn)


class EchoStateNetwork(nn.Module):
    r"""A fixed random reservoir driven by the inputs, read by a linear map fitted by ridge regression.

    .. math::
        h_t = \alpha h_{t-1} + (1 - \alpha) \tanh(W_{in} x_t + W h_{t-1} + b), \qquad y_t = V [x_t; h_t] + d

    ``W`` is sparse and random, scaled so that its spectral radius is exactly the one asked for; only ``V`` and
    ``d`` are fitted, by least squares with a penalty on ``V``, in float64 and without iteration. A spectral radius
    near one keeps echoes of the input for long; the share α kept adds slowness.

    Parameters
    ----------
    in_features, out_features : int
        Widths of inputs and outputs, 1 or more.
    width : int
        Number of reservoir units, 1 or more. Their eigenvalues are computed once, in time of the order width³.
    spectral_radius : float
        Largest absolute eigenvalue of ``W``, 0 or more; below one for echoes that fade without input.
    alpha : float
        Share of its old value that a unit keeps, in ``[0, 1)``; our α is one minus the leaking rate of the
        echo state literature.
    input_scale : float
        Input weights are uniform in ± ``input_scale``.
    bias_scale : float
        Biases are uniform in ± ``bias_scale``.
    density : float
        Share of the recurrent connections that are there, in ``(0, 1]``.
    dtype : torch.dtype
        Of the reservoir; float64 by default, since small errors grow in free running.

    Raises
    ------
    SettingError
        If a setting is out of range, or so few connections were drawn that no signal can circulate.

    Examples
    --------
    >>> from gradus.core.randomness import isolated
    >>> wave = torch.sin(0.2 * torch.arange(600)).double()[None, :, None]
    >>> with isolated(0):
    ...     network = EchoStateNetwork(1, 1, 50)
    >>> network = network.fit_readout(wave[:, :-1], wave[:, 1:], washout=100)
    >>> answers, state = network(wave[:, :500])
    >>> ahead = network.generate(answers[:, -1], state, 50)
    >>> float((ahead - wave[:, 501:551]).abs().max()) < 0.01
    True

    References
    ----------
    Goodfellow et al. 2016, §10.8; Jaeger 2001; Jaeger et al. 2007 (leaky units); Lukoševičius 2012.
    """

    input_weight: Tensor
    recurrent_weight: Tensor
    bias: Tensor
    readout: Tensor
    offset: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int = 500,
        *,
        spectral_radius: float = 0.95,
        alpha: float = 0.0,
        input_scale: float = 1.0,
        bias_scale: float = 0.0,
        density: float = 0.1,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features, width=width)
        if not (spectral_radius >= 0 and input_scale >= 0 and bias_scale >= 0):
            received = f"spectral_radius {spectral_radius}, input_scale {input_scale}, bias_scale {bias_scale}"
            raise SettingError("scales of 0 or more", received, "set for example spectral_radius=0.95")
        if not 0 <= alpha < 1 or not 0 < density <= 1:
            received = f"alpha {alpha}, density {density}"
            raise SettingError("alpha in [0, 1) and density in (0, 1]", received, "set for example density=0.1")
        self.in_features, self.out_features, self.width, self.alpha = in_features, out_features, width, alpha
        self.register_buffer("recurrent_weight", _connections(width, density, spectral_radius).to(dtype))
        self.register_buffer("input_weight", (_symmetric(width, in_features) * input_scale).to(dtype))
        self.register_buffer("bias", (_symmetric(width) * bias_scale).to(dtype))
        # NaN until fitted, so that a saved network also remembers that it was not.
        self.register_buffer("readout", torch.full((out_features, in_features + width), torch.nan, dtype=dtype))
        self.register_buffer("offset", torch.full((out_features,), torch.nan, dtype=dtype))

    def reservoir(
        self,
        inputs: Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " examples"] | None = None,
        state: Float[Tensor, "batch width"] | None = None,
    ) -> tuple[Float[Tensor, "batch time width"], Float[Tensor, "batch width"]]:
        """Drive the reservoir; return its units after every step, and after the last valid one.

        Parameters
        ----------
        inputs : Tensor of shape (batch, time, in_features)
            Sequences, padded at their end.
        lengths : Tensor of shape (batch,), optional
            Number of valid steps of each, 1 or more. Units in the padding repeat the last valid ones.
        state : Tensor of shape (batch, width), optional
            Units before the first step; zero by default.

        Raises
        ------
        InputError
            If shapes do not fit.
        """
        check_sequences(inputs, self.in_features)
        check_lengths(lengths, *inputs.shape[:2])
        inputs = inputs.to(self.bias.dtype)
        valid = None if lengths is None else valid_positions(lengths.to(inputs.device), inputs.shape[1])
        hidden = inputs.new_zeros(len(inputs), self.width) if state is None else state
        if hidden.shape != (len(inputs), self.width):
            mend = "give the state that an earlier call returned"
            raise InputError(f"a state of shape ({len(inputs)}, {self.width})", str(tuple(hidden.shape)), mend)
        states = []
        for t, drive in enumerate(F.linear(inputs, self.input_weight, self.bias).unbind(1)):
            updated = torch.lerp(torch.tanh(drive + F.linear(hidden, self.recurrent_weight)), hidden, self.alpha)
            hidden = updated if valid is None else torch.where(valid[:, t, None], updated, hidden)
            states.append(hidden)
        return torch.stack(states, 1), hidden

    @torch.no_grad()
    def fit_readout(
        self,
        inputs: Float[Tensor, "batch time features"],
        targets: Float[Tensor, "batch time outputs"],
        lengths: Int[Tensor, " examples"] | None = None,
        *,
        washout: int = 100,
        ridge: float = 1e-8,
    ) -> EchoStateNetwork:
        r"""Fit the read-out in closed form: the least of :math:`\sum_t \|y_t - V [x_t; h_t] - d\|^2 + \lambda \|V\|^2`.

        Solved by orthogonal factorization of the stacked system ``[S; sqrt(λ) I]``, whose condition is the
        square root of that of the normal equations; the offset ``d`` is not penalized.

        Parameters
        ----------
        inputs : Tensor of shape (batch, time, in_features)
            Sequences, padded at their end.
        targets : Tensor of shape (batch, time, out_features)
            The answer wanted after each step.
        lengths : Tensor of shape (batch,), optional
            Number of valid steps of each.
        washout : int
            First steps of each sequence that are left out, 0 or more: until the zero state it began in is
            forgotten.
        ridge : float
            λ, 0 or more; with 0 the solution of least norm.

        Returns
        -------
        EchoStateNetwork
            Itself.

        Raises
        ------
        SettingError
            If ``washout`` or ``ridge`` is negative.
        InputError
            If shapes do not fit, no step is left after the washout, or a value is not finite.
        """
        if washout < 0 or not ridge >= 0:
            raise SettingError(
                "washout and ridge of 0 or more", f"{washout} and {ridge}", "set washout=100, ridge=1e-8"
            )
        if targets.shape != (*inputs.shape[:2], self.out_features):
            expected = f"targets of shape ({', '.join(map(str, inputs.shape[:2]))}, {self.out_features})"
            raise InputError(expected, str(tuple(targets.shape)), "give one answer for each step")
        states, _ = self.reservoir(inputs, lengths)
        used = torch.ones(inputs.shape[:2], dtype=torch.bool, device=inputs.device)
        if lengths is not None:
            used = valid_positions(lengths.to(inputs.device), inputs.shape[1])
        used = used & (torch.arange(inputs.shape[1], device=inputs.device) >= washout)
        if not bool(used.any()):
            longest = inputs.shape[1] if lengths is None else int(lengths.max())
            raise InputError(f"a sequence longer than the washout of {washout}", str(longest), "lower washout")
        design = torch.cat([inputs.to(states.dtype), states], 2)[used].double().cpu()
        wanted = targets[used].double().cpu()
        if not bool(design.isfinite().all() & wanted.isfinite().all()):
            raise InputError("finite inputs and targets", "NaN or infinity", "remove or fill the missing steps")
        mean, level = design.mean(0), wanted.mean(0)
        design, wanted = design - mean, wanted - level
        if ridge > 0:
            columns = design.shape[1]
            design = torch.cat([design, sqrt(ridge) * torch.eye(columns, dtype=torch.float64)])
            wanted = torch.cat([wanted, torch.zeros(columns, self.out_features, dtype=torch.float64)])
        weights = torch.linalg.lstsq(design, wanted, driver="gels" if ridge > 0 else "gelsd").solution
        self.readout.copy_(weights.T)
        self.offset.copy_(level - mean @ weights)
        return self

    def forward(
        self,
        inputs: Float[Tensor, "batch time features"],
        state: Float[Tensor, "batch width"] | None = None,
    ) -> tuple[Float[Tensor, "batch time outputs"], Float[Tensor, "batch width"]]:
        """Answer after every step, and return the state with which the next chunk goes on.

        Raises
        ------
        InputError
            If shapes do not fit, or the read-out was not fitted.
        """
        if bool(self.offset.isnan().any()):
            raise InputError("a fitted read-out", "a network without one", "call fit_readout first")
        states, state = self.reservoir(inputs, state=state)
        return F.linear(torch.cat([inputs.to(states.dtype), states], 2), self.readout, self.offset), state

    def generate(
        self, inputs: Float[Tensor, "batch features"], state: Float[Tensor, "batch width"], steps: int
    ) -> Float[Tensor, "batch {steps} features"]:
        """Run freely: each answer is the next input.

        Parameters
        ----------
        inputs : Tensor of shape (batch, in_features)
            The first input: the last answer of :meth:`forward`.
        state : Tensor of shape (batch, width)
            The state :meth:`forward` returned.
        steps : int
            Number of answers, 1 or more.

        Returns
        -------
        Tensor of shape (batch, steps, out_features)
            The answers after ``inputs``.

        Raises
        ------
        SettingError
            If answers are no inputs, or ``steps`` is below 1.
        InputError
            If shapes do not fit, or the read-out was not fitted.
        """
        if self.in_features != self.out_features:
            received = f"{self.in_features} and {self.out_features}"
            raise SettingError("as many outputs as inputs", received, "fit the read-out on the inputs one step ahead")
        if steps < 1:
            raise SettingError("1 step or more", str(steps), "set for example steps=100")
        answers = []
        for _ in range(steps):
            answer, state = self(inputs[:, None], state)
            inputs = answer[:, 0]
            answers.append(inputs)
        return torch.stack(answers, 1)
