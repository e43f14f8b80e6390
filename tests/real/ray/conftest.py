"""A real Ray, on this machine."""

import os

import pytest
import torch

CPUS = 2 * torch.get_num_threads()  # read before anything is loaded: an engine changes it


@pytest.fixture(scope="module")
def cluster():
    """Room for two workers that have as many CPUs as torch uses threads here."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=CPUS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
