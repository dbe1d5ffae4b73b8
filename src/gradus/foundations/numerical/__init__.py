"""Numerical computation (chapter 4, §8.6): gradients checked, curvature seen, functions minimized.

Everything works on a vector and functions of it; `parameter_vector` makes both of a network. Methods are pairs of pure
functions, ``init`` and ``step``, on NamedTuples, and `minimize` is the loop around them.
"""

from __future__ import annotations

from gradus.foundations.numerical.conjugate import conjugate_gradients, nonlinear_cg_init, nonlinear_cg_step
from gradus.foundations.numerical.constrained import (
    augmented_lagrangian_init,
    augmented_lagrangian_step,
    kkt_residual,
    projected_gradient_init,
    projected_gradient_step,
)
from gradus.foundations.numerical.gradient_check import check_gradient
from gradus.foundations.numerical.line_search import armijo, wolfe
from gradus.foundations.numerical.newton import newton_init, newton_step
from gradus.foundations.numerical.parameters import parameter_vector
from gradus.foundations.numerical.points import evaluate, minimize
from gradus.foundations.numerical.products import (
    gauss_newton_product,
    hessian_vector_product,
    jacobian_vector_product,
    vector_jacobian_product,
)
from gradus.foundations.numerical.projections import project_l1_ball, project_l2_ball, project_simplex
from gradus.foundations.numerical.quasi_newton import inverse_hessian_product, lbfgs_init, lbfgs_step
from gradus.foundations.numerical.spectrum import hessian_spectrum

__all__ = [
    "armijo",
    "augmented_lagrangian_init",
    "augmented_lagrangian_step",
    "check_gradient",
    "conjugate_gradients",
    "evaluate",
    "gauss_newton_product",
    "hessian_spectrum",
    "hessian_vector_product",
    "inverse_hessian_product",
    "jacobian_vector_product",
    "kkt_residual",
    "lbfgs_init",
    "lbfgs_step",
    "minimize",
    "newton_init",
    "newton_step",
    "nonlinear_cg_init",
    "nonlinear_cg_step",
    "parameter_vector",
    "project_l1_ball",
    "project_l2_ball",
    "project_simplex",
    "projected_gradient_init",
    "projected_gradient_step",
    "vector_jacobian_product",
    "wolfe",
]
