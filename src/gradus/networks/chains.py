"""A chain of labels: neighbours depend on each other (a conditional random field on top of a network; §16.7, §20.8)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gradus.networks.checks import check_sizes

__all__ = ["LabelChain"]


class LabelChain(nn.Module):
    r"""Linear-chain conditional random field over the labels of a sequence.

    .. math::
        \log p(y \mid x) = b_{y_1} + \sum_t e_{t, y_t} + \sum_{t > 1} A_{y_{t-1}, y_t} + c_{y_T} - \log Z(x)

    with the emissions *e* that a network makes of *x*. Sums over all label sequences are exact, by the forward
    recursion; padding takes no part.

    Parameters
    ----------
    classes : int
        Number of labels.

    Attributes
    ----------
    transitions : Parameter of shape (classes, classes)
        *A*: the score of the label of the column after that of the row.
    begin, end : Parameter of shape (classes,)
        *b* and *c*: scores of the first and the last label.

    Examples
    --------
    >>> chain = LabelChain(3)
    >>> emissions, lengths = torch.zeros(2, 4, 3), torch.tensor([4, 2])
    >>> chain.log_partition(emissions, lengths).exp().detach().round().tolist()  # all sequences count one: 3^4, 3^2
    [81.0, 9.0]
    >>> chain.decode(emissions, lengths).shape
    torch.Size([2, 4])

    References
    ----------
    Lafferty, McCallum & Pereira 2001, Conditional Random Fields; Collobert et al. 2011, §3.3.2 (on top of a
    network); Goodfellow et al. 2016, §16.7 and §20.8 (structured output).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        check_sizes(classes=classes)
        self.transitions = nn.Parameter(torch.zeros(classes, classes))
        self.begin = nn.Parameter(torch.zeros(classes))
        self.end = nn.Parameter(torch.zeros(classes))

    def log_partition(
        self,
        emissions: Float[Tensor, "batch time classes"],
        lengths: Int[Tensor, " batch"],
        allowed: Bool[Tensor, "batch time classes"] | None = None,
    ) -> Float[Tensor, " batch"]:
        """Return the logarithm of the summed scores of all label sequences, or of those that are allowed.

        With one label allowed at each position that is the score of one sequence; the difference to the sum over
        all is its log-probability.

        Parameters
        ----------
        emissions : Tensor of shape (batch, time, classes)
            Scores of each label at each position, padded at the end with anything finite.
        lengths : Tensor of shape (batch,), integers
            How many positions of each row are no padding, 1 or more.
        allowed : Tensor of shape (batch, time, classes), bool, optional
            Labels a position may have, one or more each; all by default.
        """
        if allowed is not None:
            emissions = emissions.masked_fill(~allowed, -torch.inf)
        alpha = self.begin + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            moved = (alpha.unsqueeze(2) + self.transitions).logsumexp(1) + emissions[:, t]
            alpha = torch.where((t < lengths).unsqueeze(1), moved, alpha)
        return (alpha + self.end).logsumexp(1)

    def marginals(
        self, emissions: Float[Tensor, "batch time classes"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time classes"]:
        """Return the probability of each label at each position, zero in the padding.

        They are the derivatives of the log-partition function by the emissions.
        """
        with torch.inference_mode(False), torch.enable_grad():
            leaf = emissions.detach().clone().requires_grad_()
            chain = [p.detach().clone() for p in (self.transitions, self.begin, self.end)]
            twin = LabelChain(len(chain[1])).to(leaf)
            for parameter, value in zip((twin.transitions, twin.begin, twin.end), chain, strict=True):
                parameter.data = value
            (found,) = torch.autograd.grad(twin.log_partition(leaf, lengths.clone()).sum(), leaf)
        return found

    @torch.no_grad()
    def decode(
        self, emissions: Float[Tensor, "batch time classes"], lengths: Int[Tensor, " batch"]
    ) -> Int[Tensor, "batch time"]:
        """Return the most probable label sequence of each row (Viterbi); in the padding, label 0."""
        best = self.begin + emissions[:, 0]
        origins = []
        for t in range(1, emissions.shape[1]):
            score, origin = (best.unsqueeze(2) + self.transitions).max(1)
            going = (t < lengths).unsqueeze(1)
            # Beyond the end each label points to itself, so that the way back begins where the sequence ends.
            stay = torch.arange(best.shape[1], device=best.device).expand_as(origin)
            origins.append(torch.where(going, origin, stay))
            best = torch.where(going, score + emissions[:, t], best)
        last = (best + self.end).argmax(1, keepdim=True)
        path = [last]
        for origin in reversed(origins):
            path.append(origin.gather(1, path[-1]))
        labels = torch.cat(path[::-1], 1)
        return labels.masked_fill(torch.arange(labels.shape[1], device=labels.device) >= lengths.unsqueeze(1), 0)
