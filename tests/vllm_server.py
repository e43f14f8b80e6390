"""A real vLLM server on this machine, for the tests in `engines` and for benchmarks/engines.py."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

START = 900  # seconds; half a minute on a machine that does nothing else


def free_url():
    """The address of a server that does not run yet, on a free port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{found.getsockname()[1]}/v1"


class serve:
    """A vLLM server in a `with` statement, which gives its address: ready at its beginning, ended at its end."""

    def __init__(self, folder, name, url, dtype, *options):
        port = url.rpartition(":")[2].partition("/")[0]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", folder]
        command += ["--served-model-name", name, "--host", "127.0.0.1", "--port", port, "--dtype", dtype]
        command += ["--max-model-len", "2048", "--enforce-eager", "--block-size", "32"]
        command += ["--uvicorn-log-level", "warning", *options]
        self.command, self.url, self.health = command, url, url.removesuffix("/v1") + "/health"

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
        return self.url

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
