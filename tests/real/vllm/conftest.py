"""A real vLLM: for the tests of the server engine it is started as a server, on a free port of this machine."""

import os

import pytest

from vllm_server import free_url, serve

os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"  # GiB: the texts are short, and several engines run here

NAME = "smollm2"

# test_server_real reads these when it is collected. A server that is named already is used instead.
OWN_SERVER = "SELECTIT_TEST_SERVER" not in os.environ
if OWN_SERVER:
    os.environ["SELECTIT_TEST_SERVER"] = free_url()
    os.environ["SELECTIT_TEST_MODEL"] = NAME
    os.environ["SELECTIT_TEST_DTYPE"] = "fp32"


def pytest_configure(config):
    # vLLM's client closes its sockets when it is shut down, but never its ZeroMQ context: that says so when Python
    # frees it, which happens to the second engine of a process (vLLM holds on to the first).
    config.addinivalue_line("filterwarnings", "ignore:Unclosed context <zmq:ResourceWarning")


@pytest.fixture(scope="session")
def model_folder():
    from selectit.models.resolve import resolve

    return resolve(NAME).path


@pytest.fixture(scope="module", autouse=True)
def server(request):
    """For the module test_server_real: a vLLM server that is ready, and that ends with the module."""
    if not OWN_SERVER or request.module.__name__.rpartition(".")[2] != "test_server_real":
        yield
        return
    folder = request.getfixturevalue("model_folder")
    os.environ["SELECTIT_TEST_FOLDER"] = folder
    with serve(folder, NAME, os.environ["SELECTIT_TEST_SERVER"], "float32"):
        yield
