"""A real vLLM: for the tests of the server engine it is started as a server, on a free port of this machine."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"  # GiB: the texts are short, and several engines run here

NAME = "smollm2"
START = 900  # seconds; half a minute on a machine that does nothing else


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


# test_server_real reads these when it is collected. A server that is named already is used instead.
OWN_SERVER = "SELECTIT_TEST_SERVER" not in os.environ
if OWN_SERVER:
    os.environ["SELECTIT_TEST_SERVER"] = f"http://127.0.0.1:{free_port()}/v1"
    os.environ["SELECTIT_TEST_MODEL"] = NAME
    os.environ["SELECTIT_TEST_DTYPE"] = "fp32"


@pytest.fixture(scope="session")
def model_folder():
    from selectit.models import resolve

    return resolve(NAME).path


@pytest.fixture(scope="module", autouse=True)
def server(request):
    """For the module test_server_real: a vLLM server that is ready, and that ends with the module."""
    if not OWN_SERVER or request.module.__name__.rpartition(".")[2] != "test_server_real":
        yield
        return
    folder = request.getfixturevalue("model_folder")
    os.environ["SELECTIT_TEST_FOLDER"] = folder
    with serve(folder, os.environ["SELECTIT_TEST_SERVER"], "float32"):
        yield


class serve:
    """A vLLM server in a `with` statement: ready at its beginning, ended at its end."""

    def __init__(self, folder, url, dtype):
        port = url.rpartition(":")[2].partition("/")[0]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", folder]
        command += ["--served-model-name", NAME, "--host", "127.0.0.1", "--port", port, "--dtype", dtype]
        command += ["--max-model-len", "2048", "--enforce-eager", "--block-size", "32"]
        self.command, self.health = command, url.removesuffix("/v1") + "/health"

    def __enter__(self):
        environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
        self.process = subprocess.Popen(self.command, env=environment)
        until = time.monotonic() + START
        while not self.healthy():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}")
            if time.monotonic() > until:
                self.__exit__()
                raise TimeoutError(f"the server is not ready after {START} seconds")
            time.sleep(1)

    def healthy(self):
        try:
            with urllib.request.urlopen(self.health, timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def __exit__(self, *exception):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
