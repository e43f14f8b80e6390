"""Checkpoints that transformers loads, whole or not at all: what is missing it would draw at random."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from selectit.errors import ModelError

log = logging.getLogger(__name__)
_NO_STATE = ("lm_head.", "embed_out.", "pooler.")
"""Weights that no hidden state depends on: the output layers of causal models, and BERT's pooler."""


def load_checkpoint(
    auto: Any,
    path: str,
    *,
    dtype: Any,
    trust_remote_code: bool = False,
    device_map: str | None = None,
    quantization_config: Any = None,
    gguf_file: str | None = None,
    states_only: bool = False,
) -> Any:
    """The model in a folder, with every weight from its files.

    Args:
        auto: the class of transformers that loads it: AutoModelForCausalLM, …
        path: the folder.
        dtype: of the weights, a torch dtype or 'auto'.
        trust_remote_code: run Python code that comes with the model.
        device_map: as of from_pretrained; 'meta' only looks whether the model is complete.
        quantization_config: as of from_pretrained.
        gguf_file: the name of a GGUF file in the folder, which is the model.
        states_only: nothing but its hidden states is read, so that it needs no output layer.

    Raises:
        ModelError: weights are missing or of another shape, config.json leaves layers out, or the model is of another
            kind than `auto`.
        Exception: what from_pretrained raises; see `engines.texts.model_errors`.
    """
    with without_report():
        model, found = auto.from_pretrained(
            path,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            device_map=device_map,
            quantization_config=quantization_config,
            gguf_file=gguf_file,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # else transformers raises before it says which
        )
    if auto.__name__ == "AutoModelForCausalLM" and not states_only:
        _check_causal(path, model.config)
    _check_complete(path, model, found, _NO_STATE if states_only else ())
    return model


@contextmanager
def without_report() -> Iterator[None]:
    """Leave out the table that transformers logs where names differ: this module says it in words."""

    def is_other(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _check_causal(path: str, config: Any) -> None:
    """Raise ModelError where config.json names another kind of model, whose weights a causal model may load too."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {}):
        return
    known = {each for names in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values() for each in _as_tuple(names)}
    named = _as_tuple(getattr(config, "architectures", None) or ())
    if named and not any(name in known or "CausalLM" in name or "LMHead" in name for name in named):
        raise ModelError(
            f"{path} is no causal language model: by its config.json it is a {' and '.join(named)}",
            "Name a model that predicts the next token.",
        )


def _as_tuple(names: str | Collection[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check_complete(path: str, model: Any, found: Mapping[str, Any], optional: tuple[str, ...]) -> None:
    """Raise ModelError unless the files have each weight in its shape, and no layer more than the model.

    Args:
        path: the folder.
        model: as it was loaded.
        found: transformers' loading info.
        optional: what names of weights that may be missing begin with.
    """
    unexpected = sorted(found["unexpected_keys"])
    if missing := sorted(name for name in found["missing_keys"] if not name.startswith(optional)):
        raise ModelError(f"{path} lacks the weights {_listed(missing)}", _hint(missing, unexpected))
    if mismatched := sorted(found["mismatched_keys"]):
        shapes = [
            f"{name} {list(theirs)} in its files and {list(ours)} by its config.json"
            for name, theirs, ours in mismatched
        ]
        raise ModelError(
            f"{path} has weights of other shapes: {_listed(shapes)}",
            "The config.json is not that of the weights. Save the model with save_pretrained, or fetch it again.",
        )
    if more := _layers_left_out(model, unexpected):
        raise ModelError(
            f"{path} has layers that its config.json leaves out: {_listed(more)}",
            "The config.json is not that of the weights. Save the model with save_pretrained, or fetch it again.",
        )
    if unexpected:
        log.info("%s: weights in its files that the model has no place for: %s", path, _listed(unexpected))


def _hint(missing: list[str], unexpected: list[str]) -> str:
    """What to do about missing weights, by the names that the files have instead."""
    prefixes = {theirs.removesuffix(own) for own in missing for theirs in unexpected if theirs.endswith(own)}
    if prefix := max(prefixes - {""}, key=len, default=""):
        return (
            f"Its files have them under names that begin with {prefix!r}, as wrappers (DDP, torch.compile, PEFT) write "
            "them. Save the model that is inside the wrapper: an adapter merged, then save_pretrained."
        )
    instead = f" Its files have {_listed(unexpected)} instead." if unexpected else ""
    return (
        "transformers would draw them at random. Save the whole model with save_pretrained, or fetch it again."
        + instead
    )


def _layers_left_out(model: Any, unexpected: list[str]) -> list[str]:
    """Weights of the same kind as the model's own, with another number, but for layers that predict further tokens."""
    if getattr(model.config, "num_nextn_predict_layers", None):
        return []
    own = {re.sub(r"\d+", "*", name) for name in model.state_dict()}
    return [name for name in unexpected if re.search(r"\.\d+\.", name) and re.sub(r"\d+", "*", name) in own]


def _listed(names: list[str], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:most])} and {more} more"
