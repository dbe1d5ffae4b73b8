"""Section 6.5: differentiation from scratch, and graphs to look at."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

_ENGINE = "gradus.foundations.graph.derivatives"

ENTRIES: tuple[Entry, ...] = (
    Entry("computational graph", "6.5.1", "function", "gradus.foundations.graph.variables:Variable",
          "arrays that remember how they were computed (algorithm 6.1)",
          "from gradus.foundations.graph import Variable; (Variable([1.0, 2.0]) ** 2).sum().operation.name"),
    Entry("graph viewer", "6.5.1", "function", "gradus.foundations.graph.showing:show",
          "any graph as a page to step through: shapes, values, gradients, time, memory",
          "import numpy as np; from gradus.foundations.graph import show; show(np.tanh, [0.0, 1.0])"),
    Entry("back-propagation", "6.5.6", "function", f"{_ENGINE}:backpropagate",
          "gradients at every node of a graph (algorithms 6.2, 6.5 and 6.6)",
          "from gradus.foundations.graph import Variable, backpropagate; x = Variable(3.0); backpropagate(x * x, [x])"),
    Entry("gradient of a function", "6.5.6", "function", f"{_ENGINE}:grad",
          "the gradient of any Python function of arrays, and gradients of gradients",
          "from gradus.foundations.graph import grad; grad(lambda x: x**3)(2.0)"),
    Entry("forward mode", "6.5.9", "function", f"{_ENGINE}:jvp",
          "derivatives along a direction, carried from inputs to outputs",
          "import numpy as np; from gradus.foundations.graph import jvp; jvp(np.sin, 0.0, 1.0)"),
    Entry("Jacobian", "6.5.10", "function", f"{_ENGINE}:jacobian",
          "all first derivatives of a function of arrays, by rows or by columns",
          "import numpy as np; from gradus.foundations.graph import jacobian; jacobian(np.tanh)(np.zeros(2))"),
    Entry("Hessian-vector product", "6.5.10", "function", f"{_ENGINE}:hvp",
          "second derivatives along a direction without the Hessian (forward over reverse)",
          "from gradus.foundations.graph import hvp; hvp(lambda x: x**4, 2.0, 1.0)"),
    Entry("numerical gradient", "11.5", "function", "gradus.foundations.graph.checking:numerical_gradient",
          "centred differences, the check on every gradient",
          "from gradus.foundations.graph import numerical_gradient; numerical_gradient(lambda x: x**3, 2.0)"),
)  # fmt: skip
