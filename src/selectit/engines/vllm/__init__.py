"""The `vllm` engine: rates with vLLM in processes of its own.

It is given texts and gives numbers; it knows no run directory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from selectit.config.settings import Settings
from selectit.engines.base import EngineLoader, max_tokens
from selectit.errors import RunError, SettingsError, install_extra
from selectit.models.files import Model
from selectit.signals.base import Engine

OWN_ARGUMENTS = {
    "model": "--model",
    "tokenizer": "--model",
    "revision": "--model",
    "dtype": "--dtype",
    "max_model_len": "--max-tokens",
    "max_num_batched_tokens": "--batch-tokens",
    "trust_remote_code": "--trust-remote-code",
    "logprobs_mode": "",
    "enable_prefix_caching": "",
    "use_tqdm_on_load": "",
}
"""Arguments of vllm.LLM that are no engine parameters: the flag of each, '' where selectit alone decides."""


STORED_ARGUMENTS = {
    "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "enable_expert_parallel",
    "gpu_memory_utilization", "kv_cache_memory_bytes", "block_size", "swap_space", "cpu_offload_gb", "max_num_seqs",
    "enable_chunked_prefill", "enforce_eager", "disable_custom_all_reduce", "disable_cascade_attn", "seed",
}  # fmt: skip
"""Arguments that a run may set: numbers and switches. The rest can name code, files and models, and has to be typed."""


def read_stored(text: object) -> dict[str, Any]:
    """The engine parameters that a run states. Raises RunError where they are none that a run may set."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RunError(f"the engine parameters of the run are {text!r}", "Type them: --engine-param NAME=VALUE.")
    for name, value in found.items():
        if name not in STORED_ARGUMENTS or not isinstance(value, bool | int | float):
            raise RunError(
                f"the run sets the engine parameter {name} to {value!r}, which could run code of whoever made the run",
                f"If you want it, type it: --engine-param {name}=…, with all others that the run has.",
            )
    return found


class VLLMLoader(EngineLoader):
    """Causal models that rate."""

    name = noun = "vllm"
    install = f"{install_extra('vllm')}; without a GPU see docs/engines.md"
    signals = ("ratings",)
    options = ("engine_param",)
    refuses = {
        "device_map": (
            "--device-map is for --engine hf",
            "Several GPUs: --engine-param tensor_parallel_size=N.",
        )
    }

    def check_options(self, settings: Settings) -> None:
        for name, value in settings.engine_param.items():
            if name in OWN_ARGUMENTS:
                flag = OWN_ARGUMENTS[name]
                raise SettingsError(
                    f"--engine-param {name}: {'it has a flag of its own' if flag else 'selectit sets it'}",
                    f"Write {flag}." if flag else "Leave it out.",
                )
            try:
                json.dumps(value)
            except (TypeError, ValueError) as error:
                raise SettingsError(
                    f"--engine-param {name} is {value!r}: {error}", "Give what JSON can say."
                ) from error

    def load(self, model: Model, settings: Settings, stored: Mapping[str, Any], signal: str) -> Engine:
        engine: Engine = self.module("engine").load(
            model.path,
            dtype=stored.get("dtype", settings.dtype),
            max_tokens=max_tokens(model, settings, stored, made=1),
            batch_tokens=settings.batch_tokens or stored.get("batch_tokens", 0),
            overflow=settings.overflow or stored.get("overflow", "cut"),
            engine_param=settings.engine_param or read_stored(stored.get("engine_param", "{}")),
            trust_remote_code=settings.trust_remote_code,
        )
        return engine


ENGINE = VLLMLoader()
