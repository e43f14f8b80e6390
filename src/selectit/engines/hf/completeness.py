"""Whether a model is whole and of the right kind, looked at without its weights."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from selectit.engines.texts import check_vocabulary, load_tokenizer, model_errors
from selectit.models.checkpoints import load_checkpoint

_KINDS = {"rewards": AutoModelForSequenceClassification}
"""What is loaded for a signal, where that is no causal model."""


def check_model(path: str, trust_remote_code: bool, signal: str = "losses") -> None:
    """Refuse a model that is not complete or can't give a signal. One that is quantised is left to its loader.

    Raises ModelError.
    """
    encoder = signal == "embeddings" and (Path(path) / "modules.json").is_file()
    with model_errors(path):
        own = str(Path(path) / _transformer(Path(path))) if encoder else path
        config = AutoConfig.from_pretrained(own, trust_remote_code=trust_remote_code)
    if not encoder:
        check_vocabulary(path, load_tokenizer(path, trust_remote_code), trust_remote_code)
    with model_errors(path):
        if not hasattr(config, "quantization_config"):
            load_checkpoint(
                AutoModel if encoder else _KINDS.get(signal, AutoModelForCausalLM),
                own,
                dtype="auto",
                trust_remote_code=trust_remote_code,
                device_map="meta",
                states_only=signal == "embeddings",
            )


def _transformer(folder: Path) -> str:
    """Where the first part of a sentence encoder lies in its folder."""
    first = json.loads((folder / "modules.json").read_text(encoding="utf-8"))[0]
    return str(first["path"])
