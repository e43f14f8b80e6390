"""Adapters (LoRA) of a loaded model: fresh ones, and those of checkpoints with the moments of their optimiser.

An adapter adds scale · B A x to what a matrix makes of x. While rows are read together each has a copy of A and B of
its own, so that the gradient of the sum of their losses with respect to the copies is each row's own.

LoRA: Hu et al., arXiv 2106.09685. The files: PEFT's adapter_config.json and adapter_model.safetensors, and the
optimizer.pt of the Trainer of transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from selectit.engines.texts import model_errors
from selectit.errors import ModelError
from selectit.models.adapters import FILES

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
_PLAIN = {"peft_type": "LORA", "bias": "none", "use_dora": False}
_NONE = ("modules_to_save", "alpha_pattern", "layer_replication", "trainable_token_indices", "target_parameters")
_KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight")


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is added to one matrix of a model, in float32 on its device."""

    name: str
    """The module's."""
    module: Any
    a: torch.Tensor
    """(rank, width of the input)."""
    b: torch.Tensor
    """(width of the output, rank)."""
    scale: float
    trained: tuple[str, ...]
    """Of 'A' and 'B' those whose gradients count."""

    @property
    def sizes(self) -> dict[str, int]:
        """The names and sizes of what counts."""
        weights = {"A": self.a, "B": self.b}
        return {f"{self.name}.{each}": weights[each].numel() for each in self.trained}


def count_weights(adapters: Sequence[Adapter]) -> dict[str, int]:
    """The names and sizes of the weights that count, in the order of their gradients' columns."""
    return {name: size for each in adapters for name, size in each.sizes.items()}


def adam_step(gradients: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(B, P) steps of (B, P) gradients g from (P,) moments m and v: (.9 m + .1 g) / sqrt(.999 v + .001 g² + 1e-8).

    Adam's next step but for its learning rate and bias correction, with epsilon inside the root, as LESS has it (Xu et
    al., arXiv 2402.04333; princeton-nlp/LESS, collect_grad_reps.py).
    """
    beta, gamma = _BETAS
    moved = beta * first + (1 - beta) * gradients
    return moved / (gamma * second + (1 - gamma) * gradients**2 + _EPSILON).sqrt()


def fresh_adapters(model: Any, rank: int, targets: Sequence[str], layers: int, seed: int) -> list[Adapter]:
    """Adapters on the last layers, as a tuning begins: A uniform in ±1/sqrt(width), B zero, alpha the rank.

    Since B is zero, A's gradient is too: only B counts. Raises ModelError where the model has no such matrix.
    """
    linear = {name: each for name, each in model.named_modules() if isinstance(each, torch.nn.Linear)}
    named = {name: each for name, each in linear.items() if name.rpartition(".")[2] in targets}
    if not named:
        kinds = sorted({name.rpartition(".")[2] for name in linear} - {"lm_head", "own"})
        raise ModelError(
            f"the model has none of the matrices {', '.join(targets)}",
            f"Name some with --param targets=A,B. It has {', '.join(kinds) or 'none that is linear'}.",
        )
    counted = _last_layers(list(named), layers)
    return [
        Adapter(
            name=name,
            module=each,
            a=_draw((rank, each.in_features), f"{seed}\0{name}").to(each.weight.device),
            b=torch.zeros(each.out_features, rank, device=each.weight.device),
            scale=1.0,
            trained=("B",),
        )
        for name, each in named.items()
        if name in counted
    ]


def load_adapters(model: Any, folder: str, layers: int) -> list[Adapter]:
    """The adapters of a checkpoint, in the order of the model's modules; those of the last layers count.

    Raises:
        ModelError: it is no plain LoRA, or not of this model.
    """
    with model_errors(folder):
        config = json.loads((Path(folder) / FILES[0]).read_text(encoding="utf-8"))
        weights = load_file(Path(folder) / FILES[1])
    scale = _scale(folder, config)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in weights.items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise ModelError(f"{folder} has {key}, which is no part of a plain LoRA", "Name another checkpoint.")
        parts.setdefault(found[1], {})[found[2]] = value.float()
    modules = {name: each for name, each in model.named_modules() if name in parts}
    for name, part in parts.items():
        _check_shapes(folder, name, part, modules.get(name))
    counted = _last_layers(list(modules), layers)
    return [
        Adapter(
            name=name,
            module=each,
            a=parts[name]["A"].to(each.weight.device),
            b=parts[name]["B"].to(each.weight.device),
            scale=scale,
            trained=("A", "B") if name in counted else (),
        )
        for name, each in modules.items()
    ]


def _scale(folder: str, config: Mapping[str, Any]) -> float:
    """What PEFT multiplies B A x by. Raises ModelError where there is more to the adapter than that."""
    special = [key for key, plain in _PLAIN.items() if config.get(key, plain) != plain]
    special += [key for key in _NONE if config.get(key)]
    if special:
        raise ModelError(
            f"{folder} is no plain LoRA: its {FILES[0]} sets {', '.join(special)}", "Name another checkpoint."
        )
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)


def _check_shapes(folder: str, name: str, part: Mapping[str, torch.Tensor], module: Any) -> None:
    weight = getattr(module, "weight", None)
    if isinstance(module, torch.nn.Linear) and set(part) == {"A", "B"}:
        assert weight is not None
        if (len(part["B"]), part["A"].shape[1]) == tuple(weight.shape):
            return
    raise ModelError(
        f"{folder} has an adapter of {name}, and the model has no such matrix",
        "Name the base model that the adapter was tuned on with --model.",
    )


def load_moments(folder: str, adapters: Sequence[Adapter]) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and second moments of the P weights that count, (P,) each, from a checkpoint's optimizer.pt.

    The file has them by number: in the order of the model's modules, A before B. Raises ModelError where it has none,
    or not those of these weights.
    """
    path = Path(folder) / FILES[2]
    if not path.is_file():
        raise ModelError(f"{folder} has no {FILES[2]}, where the moments are", "Give --param optimizer=sgd.")
    with model_errors(folder):
        stored = torch.load(path, map_location="cpu", weights_only=True)
        groups = [group["params"] for group in stored["param_groups"] if group["params"]]
        states = [stored["state"].get(number) for group in groups for number in group]
    wanted = [(each, part, weight) for each in adapters for part, weight in (("A", each.a), ("B", each.b))]
    shapes = [None if state is None else tuple(state["exp_avg"].shape) for state in states]
    if len(groups) != 1 or shapes != [tuple(weight.shape) for _, _, weight in wanted]:
        raise ModelError(
            f"{path} does not hold the moments of this adapter's weights, and of no other",
            "Give --param optimizer=sgd.",
        )
    device = adapters[0].a.device
    own = [state for state, (each, part, _) in zip(states, wanted, strict=True) if part in each.trained]
    first, second = (
        torch.cat([state[key].flatten().float() for state in own]).to(device) for key in ("exp_avg", "exp_avg_sq")
    )
    return first, second


@contextmanager
def adapted(adapters: Sequence[Adapter], rows: int) -> Iterator[list[torch.Tensor]]:
    """Inside it the model has the adapters; yields (rows, …) copies of what counts, in the order of their `sizes`."""
    copies: list[torch.Tensor] = []
    with ExitStack() as stack:
        for each in adapters:
            weights = {"A": each.a, "B": each.b}
            for part in each.trained:
                weights[part] = weights[part].expand(rows, -1, -1).clone().requires_grad_()
                copies.append(weights[part])
            handle = each.module.register_forward_hook(_added(weights["A"], weights["B"], each.scale))
            stack.callback(handle.remove)
        yield copies


def _added(a: torch.Tensor, b: torch.Tensor, scale: float) -> Any:
    def hook(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        low = inputs[0] @ a.to(inputs[0].dtype).mT
        return output + scale * (low @ b.to(low.dtype).mT)

    return hook


def _last_layers(names: Sequence[str], layers: int) -> set[str]:
    """Of the modules those of the last layers; a layer's number is the first in a module's name. 0 = all."""
    numbers = {name: int(found[1]) if (found := re.search(r"\.(\d+)\.", name)) else 0 for name in names}
    last = sorted(set(numbers.values()))[-layers:]
    return {name for name, number in numbers.items() if number in last}


def _draw(shape: tuple[int, int], key: str) -> torch.Tensor:
    """Uniform in ±1/sqrt(shape[1]), as PEFT draws A."""
    drawn = np.random.default_rng(list(key.encode())).uniform(-1, 1, shape) / shape[1] ** 0.5
    return torch.from_numpy(drawn.astype(np.float32))
