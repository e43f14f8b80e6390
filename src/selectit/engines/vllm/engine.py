"""The `vllm` engine: rates with vLLM's offline `LLM`, whose own processes hold the model.

Each rated text is one request for one token, of which only the log-probabilities of the labels are read.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import vllm.platforms

from selectit.data.records import Sample
from selectit.engines.base import Rated
from selectit.engines.device import resolve_dtype
from selectit.engines.texts import Texts, first_line, load_tokenizer, model_errors, read_sizes
from selectit.errors import EngineError, SettingsError, nearest
from selectit.signals.arrays import Float32
from selectit.signals.base import OnBatch
from selectit.signals.ratings import RatingBatch
from selectit.signals.requests import RatingPrompt

# vLLM reads these when it is imported: standard output is the caller's, and nothing may ask for the network.
for _name, _value in {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}.items():
    os.environ.setdefault(_name, _value)
log = logging.getLogger(__name__)


CHUNK = 256
"""Requests between two reports of progress; many more than run at once, so that few wait for a chunk's end."""


ON_CPU = {
    "block_size": 32,  # only whole blocks of the cache are shared, and vLLM's 128 tokens are more than most prompts
    "enforce_eager": True,  # compiling needs a compiler and takes minutes
    "kv_cache_memory_bytes": 4 * 2**30,  # else it wants 92 % of the memory, and stops where that is not free
}
"""Arguments on a CPU where the engine parameters don't say otherwise."""


CLOSING = 60.0
"""Seconds that vLLM's processes have to end by themselves."""


_WATCH = """
import os, signal, sys
sys.stdin.read()
for process in sys.argv[1:]:
    os.kill(int(process), signal.SIGKILL)
"""
"""For `watch`: vLLM's processes outlive the one that started them."""


_DTYPES = {"auto": "auto", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def load(
    path: str,
    *,
    dtype: str,
    max_tokens: int,
    batch_tokens: int = 0,
    overflow: str = "cut",
    engine_param: Mapping[str, Any],
    trust_remote_code: bool = False,
) -> VLLMEngine:
    """Start vLLM with the model in the folder `path` (or of that hub id).

    Args:
        path: as for from_pretrained.
        dtype: 'auto', 'fp32', 'bf16' or 'fp16'. 'auto' is vLLM's choice on a GPU, and the hf engine's on a CPU.
        max_tokens: longest rated text; the model's context is at least one token longer.
        batch_tokens: most tokens in one step; 0 = vLLM's choice.
        overflow: 'cut' the response of a longer text, or 'refuse' it.
        engine_param: further arguments of vllm.LLM.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        SettingsError: vLLM is too old, or has no such parameter.
        ModelError: the model can't be loaded.
    """
    if not hasattr(vllm.SamplingParams, "logprob_token_ids"):
        raise SettingsError(
            f"vllm {vllm.__version__} doesn't give the log-probabilities of chosen tokens",
            "Install vllm 0.32 or later.",
        )
    known = [field.name for field in dataclasses.fields(vllm.EngineArgs)]
    for name in engine_param:
        if name not in known:
            raise SettingsError(f"--engine-param {name}: vllm has no such parameter", nearest(name, known))
    device = vllm.platforms.current_platform.device_type
    texts = Texts(load_tokenizer(path, trust_remote_code), max_tokens, overflow)
    _, parameters = read_sizes(path, trust_remote_code)
    asked = resolve_dtype(dtype, "cpu") if device == "cpu" else dtype
    arguments = {
        "model": path,
        "dtype": _DTYPES[asked],
        "max_model_len": max_tokens + 1,  # the token that is made and not read
        "trust_remote_code": trust_remote_code,
        "logprobs_mode": "raw_logprobs",
        "enable_prefix_caching": True,
        "use_tqdm_on_load": False,
        **({"max_num_batched_tokens": batch_tokens} if batch_tokens else {}),
        **(ON_CPU if device == "cpu" else {}),
        **engine_param,
        # Logits rounded to bf16 are up to 0.1 off.
        "hf_overrides": {"head_dtype": "float32", **engine_param.get("hf_overrides", {})},
    }
    others = set(multiprocessing.active_children())
    with model_errors(path, vllm.exceptions.VLLMError):
        llm = vllm.LLM(**arguments)
    processes = [str(child.pid) for child in multiprocessing.active_children() if child not in others]
    resolved = str(llm.llm_engine.model_config.dtype).removeprefix("torch.")
    settings: dict[str, str | int] = {
        "engine": "vllm",
        "dtype": next(ours for ours, theirs in _DTYPES.items() if theirs == resolved),
        "device": device,
        "batch_tokens": batch_tokens,
        "max_tokens": max_tokens,
        "overflow": overflow,
        "engine_param": json.dumps(dict(engine_param), sort_keys=True),
    }
    return VLLMEngine(llm, watch(processes), texts, settings, parameters)


def watch(processes: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start what ends the processes of these numbers when its standard input ends, as it does with this process."""
    return subprocess.Popen(  # in a session of its own: Ctrl-C is not for it
        [sys.executable, "-c", _WATCH, *processes], stdin=subprocess.PIPE, start_new_session=True
    )


@dataclass(frozen=True, slots=True)
class _Request:
    """One text to rate, and where its rating goes."""

    ids: list[int]
    labels: list[int]
    rated: Rated
    place: int

    def sampling(self) -> Any:
        """One token, greedily; the log-probabilities are of the model itself, before any processing."""
        return vllm.SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=self.labels, detokenize=False)

    def store(self, output: Any) -> None:
        """Note what vLLM answered."""
        answer = output.outputs[0]
        if not answer.logprobs:
            self.rated.fail(
                self.place, f"vLLM gave no log-probabilities; the request ended with {answer.finish_reason}"
            )
            return
        found = answer.logprobs[0]
        missing = [label for label in self.labels if label not in found]
        if missing:
            self.rated.fail(self.place, f"vLLM gave no log-probability of the tokens {missing}")
            return
        logprob: Float32 = np.array([[found[label].logprob for label in self.labels]], np.float32)
        self.rated.store([self.place], logprob)


class VLLMEngine:
    """vLLM with a loaded model that rates: `RatesLabels`. Made by `load`."""

    def __init__(
        self,
        llm: Any,
        watch: subprocess.Popen[bytes],
        texts: Texts,
        settings: Mapping[str, str | int],
        parameters: int,
    ) -> None:
        self._llm = llm
        self._watch = watch
        self.texts = texts
        self.settings = settings
        self.parameters = parameters

    def rate(self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch) -> list[RatingBatch]:
        """Rate `samples` under each of `prompts`; see `RatesLabels.rate`."""
        labels = [self.texts.label_ids(prompt, samples[:1]) for prompt in prompts]
        rated = [
            Rated.of(self.texts.fit_all(prompt, samples), len(ids)) for prompt, ids in zip(prompts, labels, strict=True)
        ]
        requests = [
            _Request(text, ids, one, place)
            for one, ids in zip(rated, labels, strict=True)
            for place, text in one.ids.items()
        ]
        # Texts that begin alike follow each other, so that what they share is still in vLLM's cache.
        requests.sort(key=lambda request: request.ids)
        for start in range(0, len(requests), CHUNK):
            self._rate(requests[start : start + CHUNK], on_batch)
        return [one.result() for one in rated]

    def _rate(self, requests: Sequence[_Request], on_batch: OnBatch) -> None:
        """Rate some requests; where vLLM refuses one of them, halves, down to that one."""
        refused = None
        try:
            outputs = self._llm.generate(
                [{"prompt_token_ids": request.ids} for request in requests],
                [request.sampling() for request in requests],
                use_tqdm=False,
            )
        except vllm.exceptions.VLLMServerError as error:
            raise EngineError(
                f"vLLM has stopped: {first_line(str(error))}",
                "It said above why. What is finished is kept: mend the cause and type the same command again.",
            ) from error
        except (ValueError, vllm.exceptions.VLLMClientError) as error:
            refused = first_line(str(error))
        if refused is None:
            for request, output in zip(requests, outputs, strict=True):
                request.store(output)
            on_batch(len(requests), sum(len(request.ids) for request in requests))
        elif len(requests) == 1:
            requests[0].rated.fail(requests[0].place, refused)
            on_batch(1, 0)
        else:
            middle = len(requests) // 2
            self._rate(requests[:middle], on_batch)
            self._rate(requests[middle:], on_batch)

    def close(self) -> None:
        """End vLLM's processes and free their memory; the engine can't be used after it."""
        self._llm.llm_engine.engine_core.shutdown(timeout=CLOSING)
        self._llm = None
        gc.collect()
        self._watch.kill()
        self._watch.communicate()
