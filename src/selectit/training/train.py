"""`train`: supervised tuning of a causal model on the rows of a selection.

OUT/config.json, model*.safetensors, tokenizer*   the tuned model
OUT/adapter/                                      with LoRA: the adapter alone
OUT/checkpoints/                                  with keep_checkpoints: the adapter on its way
OUT/README.md                                     its card
OUT/training.json                                 what it is and the loss of each step: written last of all
OUT/work/                                         while it is not finished: see `loop`
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selectit.atomic_files import replacing
from selectit.config.settings import DEFAULT_MODEL
from selectit.errors import DataError, ModelError, RunError, SettingsError, import_extra
from selectit.jsonable import digest_of
from selectit.models import resolve
from selectit.models.files import Model
from selectit.progress import Progress, Silent
from selectit.runs.files import read_json, slug, write_json
from selectit.runs.output import check_new_folder
from selectit.runs.run import Run, open_run
from selectit.runs.selections import find_selection, load_rows
from selectit.signals.arrays import Int64
from selectit.training import recipes
from selectit.training.card import list_notes, render_card, today
from selectit.training.examples import (
    Example,
    build_examples,
    find_answer_end,
    order_examples,
    set_template,
    strip_markers,
)
from selectit.training.recipes import Recipe, check_machine

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """What `train` made."""

    path: Path
    """The model's folder."""
    rows: int
    """Rows it was tuned on."""
    truncated: int
    """Of these, rows cut to the token limit."""
    without_loss: int
    """Rows left out, since nothing of an answer lies within the token limit."""
    steps: int
    by: str
    """What decided the number of steps: 'epochs', or 'steps' (equal between subsets)."""
    tokens: int
    """Tokens read in all steps."""
    seconds: float
    """In the training steps, interruptions left out."""
    loss: float
    """Mean loss of the last step, in nats a token."""
    fresh: bool
    """False where it was finished before, and nothing was done."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A training whose settings are resolved, before it begins."""

    run: Run
    selection: str | None
    """None = a list of rows."""
    rows: Int64
    """In the order of their digests, so that equal rows of another run are the same training."""
    digests: tuple[str, ...]
    base: Model
    recipe: Recipe

    @property
    def identity(self) -> dict[str, Any]:
        """On how many devices it is made changes rounding only."""
        recipe = {key: value for key, value in self.recipe.table().items() if key != "accelerate"}
        return {"base": self.base.digest, "rows": list(self.digests), "recipe": recipe}

    @property
    def fingerprint(self) -> str:
        return digest_of(self.identity)


def train(
    run: str | Path,
    selection: str | Sequence[int] | Int64 | None = None,
    model: str = DEFAULT_MODEL,
    recipe: Recipe | str = recipes.DEFAULT,
    out: str | Path | None = None,
    *,
    accept_terms: bool = False,
    trust_remote_code: bool = False,
    checkpoint_seconds: float = 300.0,
    keep_checkpoints: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """Tune a model on rows of a run: supervised, with the loss on the assistant's answers.

    Typed again after an interruption it goes on from the last checkpoint; typed again after its end it does nothing.

    Args:
        run: the run directory.
        selection: the name of a selection of the run, 'all' for every row, or row numbers; None = the only selection.
        model: packaged name, hub id or folder of the base model.
        recipe: a recipe, a preset's name or a TOML file.
        out: the folder of the tuned model; None = RUN/train/<selection>-<model>-<recipe>-<fingerprint>.
        accept_terms: of a packaged model.
        trust_remote_code: let the model's repository run its own code.
        checkpoint_seconds: between checkpoints; 0 = after each step.
        keep_checkpoints: so many stay in OUT/checkpoints, evenly over the steps, each with the adapter and the
            optimiser's moments: what `less` reads. Only with LoRA.
        progress: receives what is going on; one rating is one row read.

    Raises:
        SettingsError: TRL is not installed, or a setting that can't be.
        RunError: no such run or selection, or `out` holds something else.
        ModelError: the model can't be fetched, or its template doesn't fit the data.
    """
    opened = open_run(run)
    check_new_folder("--out", Path(out or opened.path / "train"))
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    if keep_checkpoints and not chosen.lora:
        raise SettingsError("checkpoints are kept of adapters alone", "Give the recipe's lora a rank, for example 8.")
    named, rows = _find_rows(opened, selection)
    rows, digests = _order_by_digest(opened, rows)
    plan = _Plan(opened, named, rows, digests, resolve.resolve(model, accept_terms=accept_terms), chosen)
    folder = Path(out) if out is not None else opened.path / "train" / _name(plan)
    lock = "train-" + digest_of({"folder": str(folder.absolute())})[:16]
    with opened.lock(lock, f"another selectit trains into {folder}"):
        if _is_finished(folder, plan):
            _check_kept(folder, keep_checkpoints)
            log.info("%s is finished already: nothing is done", folder)
            shutil.rmtree(folder / "work", ignore_errors=True)
            return _summarise(folder, fresh=False)
        loop = _import_loop()
        facts = _begin(folder, plan, loop, trust_remote_code, checkpoint_seconds, keep_checkpoints)
        _fit(folder / "work", plan.recipe, loop, progress or Silent())
        _finish(folder, plan, loop, facts)
    return _summarise(folder, fresh=True)


def _find_rows(run: Run, selection: str | Sequence[int] | Int64 | None) -> tuple[str | None, Int64]:
    """The selection's name (None = a list of rows) and its rows. Raises RunError, DataError, SettingsError."""
    if selection is None or isinstance(selection, str):
        name = find_selection(run, selection)
        return name, load_rows(run, name)
    return None, _check_rows(run, np.asarray(selection, dtype=np.int64))


def _check_rows(run: Run, rows: Int64) -> Int64:
    if not len(rows) or len(np.unique(rows)) < len(rows) or rows.min() < 0 or rows.max() >= run.rows:
        raise DataError(
            f"the list of {len(rows):,} rows is empty, names a row twice, or names one that does not exist",
            f"Row numbers of this run go from 0 to {run.rows - 1:,}.",
        )
    return rows


def _order_by_digest(run: Run, rows: Int64) -> tuple[Int64, tuple[str, ...]]:
    digest = run.basic_rows().digest
    found = sorted((bytes(digest[row]).hex(), row) for row in rows.tolist())
    return np.array([row for _, row in found], dtype=np.int64), tuple(each for each, _ in found)


def _name(plan: _Plan) -> str:
    what = plan.selection or f"{len(plan.rows)}rows"
    return f"{what}-{slug(plan.base.name)}-{slug(plan.recipe.name)}-{plan.fingerprint[:6]}"


def _is_finished(folder: Path, plan: _Plan) -> bool:
    """Whether this very training is done. Raises RunError where the folder holds another one, or something else."""
    for name in ("training.json", "work/begun.json"):
        if (folder / name).is_file():
            stored = read_json(folder / name)
            changed = [key for key in plan.identity if stored["identity"][key] != _stored_identity(plan)[key]]
            if changed:
                raise RunError(
                    f"{folder} holds another training: {' and '.join(_name_differences(stored, plan, changed))}",
                    "Name another folder with --out, or remove this one.",
                )
            return name == "training.json"
    if folder.is_dir() and any(each.name != "work" for each in folder.iterdir()):
        raise RunError(f"{folder} is not empty and holds no training", "Name another folder with --out.")
    return False


def _stored_identity(plan: _Plan) -> dict[str, Any]:
    """The identity as it is stored: of a million rows a digest is enough."""
    return {**plan.identity, "rows": digest_of({"rows": plan.identity["rows"]})}


def _name_differences(stored: dict[str, Any], plan: _Plan, changed: list[str]) -> list[str]:
    said = {"base": "another base model", "rows": "other rows"}
    old, new = stored["identity"]["recipe"], plan.identity["recipe"]
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return [said.get(key, f"another recipe ({', '.join(keys)})") for key in changed]


def _import_loop() -> Any:
    """The module that imports torch, TRL and PEFT. Raises SettingsError where one is not installed."""
    import_extra("peft", "train", "training")
    return import_extra("selectit.training.loop", "train", "training")


def _check_kept(folder: Path, wanted: int) -> None:
    """Raise RunError where a finished training has kept fewer checkpoints than it would keep now."""
    kept = len(list((folder / "checkpoints").glob("checkpoint-*")))
    if kept < len(space_steps(read_json(folder / "training.json")["steps"], wanted)):
        raise RunError(f"{folder} is finished and has kept {kept} checkpoints", "Name another folder with --out.")


def _begin(
    folder: Path, plan: _Plan, loop: Any, trust_remote_code: bool, checkpoint_seconds: float, keep: int
) -> dict[str, Any]:
    """Write all that the training reads, unless that was done before, and return what is known of it."""
    work = folder / "work"
    if not (work / "begun.json").is_file():
        _prepare(work, plan, loop, trust_remote_code)
    begun = read_json(work / "begun.json")
    tokenizer = str(work / "tokenizer")
    name, path, dtype = plan.base.name, plan.base.path, begun["dtype"]
    kept = tuple(space_steps(begun["steps"], keep))
    loop.write_job(
        loop.Job(str(work), name, path, tokenizer, plan.recipe, dtype, trust_remote_code, checkpoint_seconds, kept)
    )
    return begun


def space_steps(steps: int, n: int) -> list[int]:
    """After which of a training's steps n checkpoints are kept: evenly, the last after the last; fewer of few steps."""
    n = min(n, steps)
    return [-(-number * steps // n) for number in range(1, n + 1)]


def _prepare(work: Path, plan: _Plan, loop: Any, trust_remote_code: bool) -> None:
    """Write the tokenised rows, their order, the tokenizer, and last begun.json. Raises SettingsError, ModelError."""
    recipe = plan.recipe
    check_machine(recipe)
    texts = importlib.import_module("selectit.engines.texts")
    tokenizer = texts.load_tokenizer(plan.base.path, trust_remote_code)
    texts.check_vocabulary(plan.base.path, tokenizer, trust_remote_code)
    set_template(tokenizer, recipe.template)
    limit = min(recipe.max_tokens, texts.context_length(plan.base.path, trust_remote_code))
    found = build_examples(plan.run, np.sort(plan.rows), tokenizer, limit)
    place = {row: at for at, row in enumerate(plan.rows.tolist())}
    used = sorted((each for each in found if each.loss_tokens), key=lambda each: place[each.row])
    if not used:
        raise SettingsError(
            f"no row has an answer within {limit:,} tokens, so there is nothing to learn", "Raise max_tokens."
        )
    lengths = [len(each.ids) for each in used]
    order = order_examples(lengths, recipe.batch_size, epochs=recipe.epochs, steps=recipe.steps, seed=recipe.seed)
    begun = _facts(
        plan, found, used, order, limit, loop.resolve_training_dtype(recipe), find_answer_end(tokenizer, used)
    )
    for line in list_notes(begun):
        log.info(line)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    loop.write_examples(work, used, order)
    tokenizer.save_pretrained(str(work / "tokenizer"))
    write_json(work / "begun.json", begun)


def _facts(
    plan: _Plan,
    found: Sequence[Example],
    used: Sequence[Example],
    order: Int64,
    limit: int,
    dtype: str,
    end: int | None,
) -> dict[str, Any]:
    recipe = plan.recipe
    lengths, losses = (np.array(each) for each in zip(*((len(e.ids), e.loss_tokens) for e in used), strict=True))
    return {
        "identity": _stored_identity(plan),
        "fingerprint": plan.fingerprint,
        "run": plan.run.path.name,
        "data": plan.run.manifest["data"],
        "source": plan.run.manifest["identity"]["sha256"],
        "selection": plan.selection,
        "rows": {
            "source": plan.run.rows,
            "chosen": len(found),
            "used": len(used),
            "truncated": sum(each.truncated for each in used),
            "without_loss": len(found) - len(used),
        },
        "base": {"name": plan.base.name, "digest": plan.base.digest},
        "recipe_name": recipe.name,
        "recipe": recipe.table(),
        "by": "epochs" if recipe.steps is None else "steps",
        "steps": -(-len(order) // recipe.batch_size),
        "epochs": len(order) / len(used),
        "max_tokens": limit,
        "dtype": dtype,
        "tokens": int(lengths[order].sum()),
        "loss_tokens": int(losses[order].sum()),
        "end_token": end,
    }


def _fit(work: Path, recipe: Recipe, loop: Any, progress: Progress) -> None:
    """Train here, or in the processes that accelerate starts."""
    if (work / "result.json").is_file():
        return
    if recipe.accelerate is None:
        loop.fit(loop.read_job(str(work)), progress)
        return
    launch = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    command = [*launch, "--config_file", recipe.accelerate, "-m", "selectit.cli.fit", str(work)]
    done = subprocess.run(command, check=False, stdout=sys.stderr, env={**os.environ, "PYTHONPATH": _import_path()})
    if done.returncode:
        raise RunError(
            f"the training that accelerate started ended with code {done.returncode}",
            "The reason is above. Type the same command again: it goes on from the last checkpoint.",
        )


def _import_path() -> str:
    """For processes that must find this very package, installed or not."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))


def _finish(folder: Path, plan: _Plan, loop: Any, facts: dict[str, Any]) -> None:
    """Write the model, its card and, last of all, what says that it is finished."""
    work, partial = folder / "work", folder / "work" / "model"
    result = loop.read_result(work)
    if not np.isfinite(result["log"][-1]["loss"]):
        raise ModelError("the loss is not a number: the training diverged", "Lower the learning_rate.")
    shutil.rmtree(partial, ignore_errors=True)
    job = loop.read_job(str(work))
    loop.save_tuned(job, partial, facts["end_token"])
    _save_tokenizer(job, partial)
    for name in (f"checkpoint-{step}" for step in job.kept_steps):
        shutil.copytree(work / "checkpoints" / name, partial / "checkpoints" / name)
    for file in partial.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes 0600, and another user may serve the model
    for file in sorted(partial.iterdir()):
        if (folder / file.name).is_dir():
            shutil.rmtree(folder / file.name)
        file.rename(folder / file.name)
    versions = {name: importlib.import_module(name).__version__ for name in ("torch", "transformers", "trl", "peft")}
    facts = {**facts, "date": today(), "versions": versions, "seconds": result["log"][-1]["seconds"], **result}
    toml = plan.run.path / "selections" / str(plan.selection) / "config.toml"
    with replacing(folder / "README.md") as file_:
        file_.write(render_card(facts, toml.read_text(encoding="utf-8") if toml.is_file() else None).encode())
    write_json(folder / "training.json", facts)
    shutil.rmtree(work)
    plan.run.add_timing(f"train {folder.name}", seconds=facts["seconds"], tokens=facts["tokens"])


def _save_tokenizer(job: Any, target: Path) -> None:
    """The tokenizer whose chat template is the one that was trained with, fit for programs without its markers."""
    texts = importlib.import_module("selectit.engines.texts")
    tokenizer = texts.load_tokenizer(job.tokenizer, job.trust_remote_code)
    tokenizer.chat_template = strip_markers(tokenizer.chat_template)
    tokenizer.save_pretrained(str(target))


def _summarise(folder: Path, *, fresh: bool) -> Trained:
    facts = read_json(folder / "training.json")
    rows = facts["rows"]
    return Trained(
        path=folder,
        rows=rows["used"],
        truncated=rows["truncated"],
        without_loss=rows["without_loss"],
        steps=facts["steps"],
        by=facts["by"],
        tokens=facts["tokens"],
        seconds=facts["seconds"],
        loss=facts["log"][-1]["loss"],
        fresh=fresh,
    )
