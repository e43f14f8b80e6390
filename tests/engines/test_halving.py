"""Batches on which a model fails."""

import pytest

from selectit.engines.hf.halving import read_in_halves


def test_what_fails_is_halved_down_to_the_one_text():
    def read(batch):
        if 3 in batch:
            raise RuntimeError("out of memory\nand more")
        return sum(batch)

    assert list(read_in_halves([1, 2, 3, 4], read)) == [([1, 2], 3), ([3], "out of memory"), ([4], 4)]


def test_an_error_that_is_not_the_model_s_goes_through():
    with pytest.raises(ZeroDivisionError):
        list(read_in_halves([1, 2], lambda batch: 1 // 0))
