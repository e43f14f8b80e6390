"""The training itself: TRL's SFTTrainer over examples that lie tokenised in a folder. Imports torch, TRL and PEFT.

job.json      what is to be done (`Job`)
examples/     the tokenised rows, as `datasets` saves them
order.npy     which of them is read when
checkpoints/  of the trainer, two at most
tuned/        the weights, or the adapter
result.json   the log; when it is there, the training is done
"""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset, disable_progress_bars, load_from_disk
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, Trainer, TrainerCallback
from transformers.utils import logging as transformers_log
from trl import SFTConfig, SFTTrainer

from selectit.engines.device import DTYPES, default_device, resolve_dtype
from selectit.engines.memory import release_cached
from selectit.engines.texts import model_errors
from selectit.errors import ModelError, RunError, SettingsError
from selectit.models.checkpoints import load_checkpoint
from selectit.progress import Progress
from selectit.runs.files import read_json, write_json
from selectit.signals.arrays import Int64
from selectit.training.examples import Example
from selectit.training.recipes import Recipe

log = logging.getLogger(__name__)
_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True, slots=True)
class Job:
    """One training, as every process that takes part in it reads it."""

    folder: str
    name: str
    """Of the base model."""
    model: str
    """The base model's folder."""
    tokenizer: str
    """The folder of the tokenizer with its chat template."""
    recipe: Recipe
    dtype: str
    """'fp32' or 'bf16': what the recipe's 'auto' came to when the training began."""
    trust_remote_code: bool
    checkpoint_seconds: float
    kept_steps: tuple[int, ...] = ()
    """After which steps a checkpoint is made that stays."""


def write_job(job: Job) -> None:
    """Store the job in its folder."""
    write_json(Path(job.folder) / "job.json", dataclasses.asdict(job))


def read_job(folder: str) -> Job:
    """The job that is stored in the folder. Raises RunError."""
    table = read_json(Path(folder) / "job.json")
    kept = tuple(table.get("kept_steps", ()))
    return Job(**{**table, "recipe": Recipe(**table["recipe"]), "kept_steps": kept})


def resolve_training_dtype(recipe: Recipe) -> str:
    """'fp32' or 'bf16' on this machine; training in fp16 would need loss scaling and is not offered."""
    found = resolve_dtype(recipe.dtype, default_device())
    return "fp32" if found == "fp16" else found


def write_examples(folder: Path, examples: list[Example], order: Int64) -> None:
    """Store the tokenised rows and the order in which they are read."""
    disable_progress_bars()
    columns = {"input_ids": [list(each.ids) for each in examples], "labels": [list(each.labels) for each in examples]}
    Dataset.from_dict(columns).save_to_disk(str(folder / "examples"))
    np.save(folder / "order.npy", order)


def fit(job: Job, progress: Progress) -> None:
    """Train, from the last checkpoint where there is one, and write `tuned/` and `result.json`.

    Raises:
        ModelError: the model can't be loaded, or the recipe's adapter doesn't fit it.
        SettingsError: the batch can't be divided among the devices.
    """
    folder, recipe = Path(job.folder), job.recipe
    transformers_log.disable_progress_bar()
    arguments = _arguments(job)
    order = np.load(folder / "order.npy")
    data = load_from_disk(str(folder / "examples"))
    lengths = np.array([len(ids) for ids in data["input_ids"]])
    last = _last_checkpoint(folder / "checkpoints")
    if last is not None:
        log.info("going on from step %s", last.name.rpartition("-")[2])
    trainer = _trainer_class()(
        _load_base(job),
        arguments,
        train_dataset=data.select(order.tolist()),
        processing_class=AutoTokenizer.from_pretrained(job.tokenizer, trust_remote_code=job.trust_remote_code),
        peft_config=_adapter(recipe),
        callbacks=[
            _Clock(job.checkpoint_seconds, job.kept_steps),
            _StepReporter(progress, lengths[order], recipe.batch_size),
        ],
    )
    trainer.remove_callback(PrinterCallback)  # it prints on stdout
    trainer.seconds_before = _seconds(last)
    progress.start(f"training {job.name}", len(order), _step(last) * recipe.batch_size)
    with _errors_only():  # of a checkpoint it says that the tied output layer is missing, which is as it should be
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    progress.finish()
    trainer.save_model(str(folder / "tuned"))
    if trainer.is_world_process_zero():
        steps = [entry for entry in trainer.state.log_history if "loss" in entry]
        entries = [{name: entry[name] for name in ("step", "loss", "learning_rate", "seconds")} for entry in steps]
        write_json(folder / "result.json", {"log": entries})
    del trainer
    gc.collect()  # it holds itself: whoever comes next needs the memory
    release_cached()


@contextmanager
def _errors_only() -> Iterator[None]:
    before = transformers_log.get_verbosity()
    transformers_log.set_verbosity_error()
    try:
        yield
    finally:
        transformers_log.set_verbosity(before)


def _arguments(job: Job) -> SFTConfig:
    recipe, device = job.recipe, default_device()
    devices = PartialState(cpu=device == "cpu").num_processes
    if devices == 1 and device == "cuda" and torch.cuda.device_count() > 1:
        raise SettingsError(
            f"{torch.cuda.device_count()} GPUs are visible, and the recipe names no configuration for several",
            "Name one with --recipe-param accelerate=FILE (docs/training.md), or set CUDA_VISIBLE_DEVICES=0.",
        )
    if recipe.batch_size % (recipe.micro_batch * devices):
        raise SettingsError(
            f"batch_size {recipe.batch_size} is not made of whole micro-batches of {recipe.micro_batch} on each of "
            f"{devices} devices",
            "Choose a smaller micro_batch.",
        )
    return SFTConfig(
        output_dir=str(Path(job.folder) / "checkpoints"),
        # The order already holds all passes over the rows, so that the trainer makes one, in that order.
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        per_device_train_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=recipe.batch_size // recipe.micro_batch // devices,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=_SCHEDULES[recipe.schedule],
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        bf16=job.dtype == "bf16",
        use_cpu=device == "cpu",
        gradient_checkpointing=recipe.gradient_checkpointing,
        seed=recipe.seed,
        save_strategy="no",  # `_Clock` says when
        save_total_limit=None if job.kept_steps else 2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        trust_remote_code=job.trust_remote_code,
        # The rows are tokenised, cut and labelled already.
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def _load_base(job: Job) -> Any:
    """The base model: fp32 where its weights are trained, since bf16 rounds small steps of the optimiser away."""
    recipe = job.recipe
    dtype = DTYPES[job.dtype] if recipe.lora else torch.float32
    quantization = None
    if recipe.quantize:
        from transformers import BitsAndBytesConfig

        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=recipe.quantize,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    with model_errors(job.model):
        model = load_checkpoint(
            AutoModelForCausalLM,
            job.model,
            dtype=dtype,
            trust_remote_code=job.trust_remote_code,
            quantization_config=quantization,
        )
    layers = {name.rpartition(".")[2] for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    if recipe.lora and not layers.intersection(recipe.lora_targets):
        raise ModelError(
            f"the model has none of the layers {', '.join(recipe.lora_targets)}",
            f"Name some with --recipe-param lora_targets=A,B. It has {', '.join(sorted(layers - {'lm_head'}))}.",
        )
    return model


def _adapter(recipe: Recipe) -> Any:
    if not recipe.lora:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.lora,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(recipe.lora_targets),
        task_type="CAUSAL_LM",
    )


class _Tuner(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer whose log says how many seconds the training has taken, interruptions left out."""

    seconds_before = 0.0

    def train(self, *args: Any, **kwargs: Any) -> Any:
        self.began = time.monotonic()
        return super().train(*args, **kwargs)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        logs["seconds"] = self.seconds_before + time.monotonic() - self.began
        super().log(logs, start_time)


class _PlainLossTuner(_Tuner):
    """With the model's own loss in place of TRL's fused head.

    Without Triton the fused head makes the logits of every token twice, adds up its gradients in fp32, and computes
    entropy and accuracy besides: on two cores half of the whole time.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        return Trainer.compute_loss(self, model, {**inputs, "use_cache": False}, return_outputs, num_items_in_batch)


def _trainer_class() -> type[_Tuner]:
    return _Tuner if default_device() == "cuda" else _PlainLossTuner


class _Clock(TrainerCallback):  # type: ignore[misc]
    """Asks for a checkpoint after a time, not after steps: the length of a step differs by five orders of magnitude.

    The first process decides for all, since they save together. Those that stay are made after their steps.
    """

    def __init__(self, seconds: float, kept_steps: tuple[int, ...]) -> None:
        self.seconds, self.kept_steps = seconds, kept_steps
        self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        due = [time.monotonic() - self.saved >= self.seconds and state.global_step < state.max_steps]
        control.should_save = broadcast_object_list(due)[0] or state.global_step in self.kept_steps
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved = time.monotonic()


class _StepReporter(TrainerCallback):  # type: ignore[misc]
    """Reports each step to the progress."""

    def __init__(self, progress: Progress, lengths: Int64, batch_size: int) -> None:
        self.progress, self.lengths, self.batch_size = progress, lengths, batch_size

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        read = self.lengths[(state.global_step - 1) * self.batch_size : state.global_step * self.batch_size]
        if state.is_world_process_zero:
            self.progress.advance(len(read), int(read.sum()))


def _last_checkpoint(folder: Path) -> Path | None:
    """The last one that is whole: the trainer writes its state after everything else."""
    for path in sorted(folder.glob("checkpoint-*"), key=_step, reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return path
    return None


def _step(checkpoint: Path | None) -> int:
    return 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])


def _seconds(checkpoint: Path | None) -> float:
    if checkpoint is None:
        return 0.0
    history = read_json(checkpoint / "trainer_state.json")["log_history"]
    return float(history[-1]["seconds"]) if history else 0.0


def save_tuned(job: Job, target: Path, end: int | None) -> None:
    """Write the tuned model as transformers and vLLM load it: in the base model's own dtype, an adapter merged.

    Args:
        job: finished.
        target: a folder; an adapter is kept in `adapter/` in it.
        end: the token that ends an answer, which then ends a generated text too; None = nothing is added.

    Raises ModelError.
    """
    tuned = Path(job.folder) / "tuned"
    stored = _stored_dtype(job)
    source = job.model if job.recipe.lora else str(tuned)
    with model_errors(source):
        model = load_checkpoint(AutoModelForCausalLM, source, dtype=stored, trust_remote_code=job.trust_remote_code)
    if job.recipe.lora:
        from peft import PeftModel

        adapter = PeftModel.from_pretrained(model, str(tuned))
        adapter.save_pretrained(str(target / "adapter"))
        model = adapter.merge_and_unload()
    if end is not None and model.generation_config is not None:
        known = model.generation_config.eos_token_id
        listed = known if isinstance(known, list) else [] if known is None else [known]
        model.generation_config.eos_token_id = known if end in listed else [*listed, end]
    for parameter in model.parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError("the tuned weights are not finite: the training diverged", "Lower the learning_rate.")
    model.save_pretrained(target)


def _stored_dtype(job: Job) -> Any:
    """The dtype of the base model's files."""
    from transformers import AutoConfig

    with model_errors(job.model):
        config = AutoConfig.from_pretrained(job.model, trust_remote_code=job.trust_remote_code)
    return config.get_text_config().dtype or torch.float32


def read_result(folder: Path) -> dict[str, Any]:
    """What `fit` wrote. Raises RunError where it did not end."""
    if not (folder / "result.json").is_file():
        raise RunError(f"the training in {folder} did not end", "Type the same command again: it goes on.")
    return read_json(folder / "result.json")
