"""Threads of matrix products: few where products are small, restored whatever happens."""

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gradus.core.threads import matrix_threads


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_small_products_keep_to_one_thread_and_large_ones_do_not():
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with matrix_threads(1e6):
            assert set(blas_threads()) == {1}
        assert blas_threads() == before
        with matrix_threads(1e12):
            assert blas_threads() == before
        with pytest.raises(ValueError), matrix_threads(1e6):
            raise ValueError
        assert blas_threads() == before
