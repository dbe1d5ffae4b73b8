"""Chapters 2 to 5: the mathematics that the rest stands on."""

from __future__ import annotations

from gradus.catalog.entry import Entry

__all__ = ["ENTRIES"]

_NUMERICAL = "gradus.foundations.numerical"

ENTRIES: tuple[Entry, ...] = (
    Entry("rank", "2.8", "function", "gradus.foundations.linear_algebra:rank",
          "rank of a matrix up to a stated tolerance",
          "import torch; from gradus.foundations.linear_algebra import rank; rank(torch.eye(3))"),
    Entry("randomized SVD", "2.8", "function", "gradus.foundations.linear_algebra:randomized_svd",
          "the largest singular values by a random sketch and power iterations",
          "from gradus.foundations.linear_algebra import randomized_svd"),
    Entry("pseudo-inverse", "2.9", "function", "gradus.foundations.linear_algebra:pseudo_inverse",
          "Moore-Penrose inverse with a tolerance for what counts as zero",
          "from gradus.foundations.linear_algebra import pseudo_inverse"),
    Entry("condition number", "4.2", "function", "gradus.foundations.linear_algebra:condition_number",
          "how far an error in the data can grow in a solution",
          "from gradus.foundations.linear_algebra import condition_number"),
    Entry("gradient check", "4.3", "function", f"{_NUMERICAL}.gradient_check:check_gradient",
          "automatic derivatives against central differences and complex steps, entry by entry",
          "import torch; from gradus.foundations.numerical import check_gradient; "
          "check_gradient(lambda x: x.exp().sum(), torch.zeros(3).double())"),
    Entry("Armijo line search", "4.3", "function", f"{_NUMERICAL}.line_search:armijo",
          "backtracking along a direction until the function is low enough",
          "from gradus.foundations.numerical import armijo"),
    Entry("Wolfe line search", "4.3", "function", f"{_NUMERICAL}.line_search:wolfe",
          "a step that is low enough and flat enough, by cubic interpolation",
          "from gradus.foundations.numerical import wolfe"),
    Entry("Jacobian-vector product", "4.3.1", "function", f"{_NUMERICAL}.products:jacobian_vector_product",
          "derivatives along directions, of any function of tensors or of a network's parameters",
          "import torch; from gradus.foundations.numerical import jacobian_vector_product; "
          "jacobian_vector_product(torch.sin, torch.zeros(2))[1](torch.ones(2))"),
    Entry("vector-Jacobian product", "4.3.1", "function", f"{_NUMERICAL}.products:vector_jacobian_product",
          "gradients of weighted outputs, many from one evaluation",
          "import torch; from gradus.foundations.numerical import vector_jacobian_product; "
          "vector_jacobian_product(torch.sin, torch.zeros(2))[1](torch.ones(2))"),
    Entry("Hessian-vector product of a network", "4.3.1", "function", f"{_NUMERICAL}.products:hessian_vector_product",
          "curvature along directions without the Hessian, many from one evaluation",
          "import torch; from gradus.foundations.numerical import hessian_vector_product; "
          "hessian_vector_product(lambda x: x.prod(), torch.ones(3))[1](torch.ones(3))"),
    Entry("Hessian spectrum", "4.3.1", "function", f"{_NUMERICAL}.spectrum:hessian_spectrum",
          "extreme eigenvalues and the density of all, from products alone (stochastic Lanczos)",
          "from gradus.foundations.numerical import hessian_spectrum"),
    Entry("projected gradient", "4.4", "function", f"{_NUMERICAL}.constrained:projected_gradient_step",
          "descent within a convex set, with spectral step lengths",
          "from gradus.foundations.numerical import projected_gradient_init, projected_gradient_step"),
    Entry("projection onto the simplex", "4.4", "function", f"{_NUMERICAL}.projections:project_simplex",
          "the nearest vector of probabilities",
          "import torch; from gradus.foundations.numerical import project_simplex; project_simplex(torch.ones(3))"),
    Entry("projection onto the L1 ball", "4.4", "function", f"{_NUMERICAL}.projections:project_l1_ball",
          "the nearest vector with a bounded sum of absolute values; small entries become zero",
          "import torch; from gradus.foundations.numerical import project_l1_ball; project_l1_ball(torch.ones(3))"),
    Entry("projection onto the L2 ball", "4.4", "function", f"{_NUMERICAL}.projections:project_l2_ball",
          "the nearest vector with a bounded length",
          "import torch; from gradus.foundations.numerical import project_l2_ball; project_l2_ball(torch.ones(3))"),
    Entry("augmented Lagrangian", "4.4", "function", f"{_NUMERICAL}.constrained:augmented_lagrangian_step",
          "equality and inequality constraints by multipliers and a penalty that stays finite",
          "from gradus.foundations.numerical import augmented_lagrangian_init, augmented_lagrangian_step"),
    Entry("KKT residual", "4.4", "function", f"{_NUMERICAL}.constrained:kkt_residual",
          "how far a point is from the Karush-Kuhn-Tucker conditions, one by one",
          "from gradus.foundations.numerical import kkt_residual"),
    Entry("Gauss-Newton product", "8.6", "function", f"{_NUMERICAL}.products:gauss_newton_product",
          "products with the part of the Hessian that is never negative",
          "from gradus.foundations.numerical import gauss_newton_product"),
    Entry("Newton's method", "8.6.1", "function", f"{_NUMERICAL}.newton:newton_step",
          "quadratic models in a region of trust; leaves saddle points",
          "from gradus.foundations.numerical import minimize, newton_init, newton_step"),
    Entry("conjugate gradients", "8.6.2", "function", f"{_NUMERICAL}.conjugate:conjugate_gradients",
          "linear systems from products with the matrix alone, with a preconditioner",
          "import torch; from gradus.foundations.numerical import conjugate_gradients; "
          "conjugate_gradients(lambda v: 2 * v, torch.ones(3))"),
    Entry("nonlinear conjugate gradients", "8.6.2", "function", f"{_NUMERICAL}.conjugate:nonlinear_cg_step",
          "directions that do not undo one another (Polak-Ribière), for any smooth function",
          "from gradus.foundations.numerical import minimize, nonlinear_cg_init, nonlinear_cg_step"),
    Entry("L-BFGS", "8.6.3", "function", f"{_NUMERICAL}.quasi_newton:lbfgs_step",
          "curvature from the last steps, with a strong Wolfe line search",
          "from gradus.foundations.numerical import lbfgs_init, lbfgs_step, minimize"),
)  # fmt: skip
