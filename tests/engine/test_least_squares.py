"""Bounded least squares against scipy's, and where the equations do not determine the answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from stfusion.fusion._least_squares import bounded_least_squares


def solve(a: np.ndarray, y: np.ndarray, low: float, high: float, begin: float = 0.0) -> np.ndarray:
    solution = np.full(a.shape[1], begin)
    bounded_least_squares(a.T @ a, a.T @ y, low, high, solution)
    return solution


@given(seed=st.integers(0, 2**32 - 1), unknowns=st.integers(1, 8), high=st.sampled_from([0.1, 0.4, 10.0]))
def test_equals_scipy(seed: int, unknowns: int, high: float) -> None:
    rng = np.random.default_rng(seed)
    a, y = rng.dirichlet(np.full(unknowns, 0.3), 30), rng.random(30)
    expected = lsq_linear(a, y, (-0.2, high), tol=1e-12, method="bvls").x
    np.testing.assert_allclose(solve(a, y, -0.2, high), expected, atol=1e-7)


@pytest.mark.parametrize("begin", [-0.5, 0.0, 0.3])
def test_unknowns_without_equations_stay(begin: float) -> None:
    a = np.array([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(solve(a, np.array([0.2, 0.4]), -1.0, 1.0, begin), [0.3, begin])


def test_dependent_columns_give_one_of_the_best() -> None:
    a = np.array([[0.5, 0.5], [0.25, 0.25]])
    solution = solve(a, np.array([0.2, 0.1]), -1.0, 1.0, 0.2)
    np.testing.assert_allclose(a @ solution, [0.2, 0.1], atol=1e-12)
    np.testing.assert_allclose(solution, [0.2, 0.2], atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), equations=st.integers(1, 7), high=st.sampled_from([0.1, 0.4, 10.0]))
def test_fewer_equations_than_unknowns_are_met_as_well_as_bounds_allow(seed: int, equations: int, high: float) -> None:
    rng = np.random.default_rng(seed)
    a, y = rng.dirichlet(np.full(8, 0.3), equations), rng.random(equations)
    expected = lsq_linear(a, y, (-0.2, high), tol=1e-12, method="bvls").x
    solution = solve(a, y, -0.2, high, 0.05)
    assert -0.2 <= solution.min() <= solution.max() <= high
    np.testing.assert_allclose(((a @ solution - y) ** 2).sum(), ((a @ expected - y) ** 2).sum(), atol=1e-9)
