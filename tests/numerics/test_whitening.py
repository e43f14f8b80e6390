import numpy as np
import pytest

from selectit.numerics.vectors import unit
from selectit.numerics.whitening import fit_whitening, whitened


def test_the_specification_s_values():
    points = np.array([[0.0, 0], [2, 0], [0, 1], [2, 1]])
    fitted = fit_whitening(points, 2)
    assert np.abs(whitened(points, *fitted)) == pytest.approx(np.full((4, 2), 0.866025), abs=1e-6)
    a, b = unit(whitened(np.array([[2, 0.5], [2, 1]]), *fitted))
    assert a @ b == pytest.approx(0.707107, abs=1e-6)


def test_the_axes_have_unit_variance_and_no_empty_ones_are_kept():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 6))  # of rank 3
    centre, axes = fit_whitening(points, 5)
    assert axes.shape == (6, 3)
    assert np.cov(whitened(points, centre, axes).T) == pytest.approx(np.eye(3), abs=1e-5)
