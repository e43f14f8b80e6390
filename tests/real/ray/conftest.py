"""A real Ray, on this machine."""

import os

import pytest


@pytest.fixture(scope="module")
def cluster():
    """Room for two workers that have as many CPUs as torch uses threads here."""
    import ray
    import torch

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cpus = 2 * torch.get_num_threads()
    ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
