"""Tiny models for the tests of the engines that load one."""

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The folder of a model of each of `tiny.KINDS`."""
    import tiny

    return {kind: tiny.build(tmp_path_factory.mktemp(kind), kind) for kind in tiny.KINDS}


@pytest.fixture(scope="module")
def engine(folders):
    """The hf engine with the llama."""
    import tiny

    return tiny.load(folders["llama"])
