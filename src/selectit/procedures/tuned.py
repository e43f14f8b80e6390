"""Models that are tuned inside a run because a method asks for their answers.

RUN/tuned/<identity>/   as `selectit train` makes a model; where checkpoints are kept, these without the model itself

A model's identity is a digest of the base model, the rows, the recipe, the seed and the number of checkpoints: methods
that ask for the same share it. It is tuned when one of its answers is missing. So its weights may be removed: what it
answered stays, and it is tuned again only where something new is asked.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selectit.config.settings import Settings
from selectit.engines import loading
from selectit.errors import ModelError, SettingsError
from selectit.inference.rate import find_model
from selectit.jsonable import digest_of
from selectit.methods._tuning import Pass, TunedOn, Tuning
from selectit.models.adapters import FILES, Checkpoint, mean_rates
from selectit.models.files import Model, find_missing_parts
from selectit.progress import Progress
from selectit.runs.files import read_json, slug
from selectit.runs.run import Run
from selectit.signals.arrays import Int64
from selectit.training import recipes
from selectit.training.recipes import Recipe
from selectit.training.train import space_steps, train

FOLDER = "tuned"


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A model tuned inside a run, or still to be tuned."""

    model: Model
    """Its `digest` is the identity, not that of the weights, which may be gone."""
    base: Model
    start: TunedModel | None
    """What `base` is, where that is tuned too."""
    rows: Int64
    """Of the run."""
    recipe: Recipe
    checkpoints: int
    """As of `TunedOn`."""

    @property
    def asked(self) -> Model:
        """What is loaded to answer for it: at checkpoints the base, to which the engine adds each one's adapter."""
        return dataclasses.replace(self.model, path=self.base.path) if self.checkpoints else self.model

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.model.path)

    @property
    def facts(self) -> dict[str, Any]:
        """What `training.json` says of the finished training. Raises RunError."""
        return read_json(self.path / "training.json")

    @property
    def is_finished(self) -> bool:
        """Whether its training has ended; its weights may be gone."""
        return (self.path / "training.json").is_file()

    def list_checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those of the finished training, whose files may be gone.

        One before which every learning rate was zero is left out: nothing was learnt, and its weight would be zero.
        Raises RunError, and ModelError where that leaves none.
        """
        facts = self.facts
        ends = space_steps(facts["steps"], self.checkpoints)
        rates = mean_rates([(entry["step"], entry["learning_rate"]) for entry in facts["log"]], ends)
        if not any(rates):
            raise ModelError(
                f"in the training of {self.model.name} every learning rate was zero, so that nothing was learnt",
                "Give more rows to tune on, or more of --param epochs=N.",
            )
        return tuple(
            Checkpoint(
                str(self.path / "checkpoints" / f"checkpoint-{step}"),
                digest_of({"model": self.model.digest, "step": step}),
                rate,
                moments=True,
            )
            for step, rate in zip(ends, rates, strict=True)
            if rate
        )


def check_tuning(method: Tuning, settings: Settings) -> None:
    """Raise SettingsError where the settings name no model, engine or recipe that the method can work with."""
    _check_base(settings)
    for each in method.outline(100, 10):  # of any size: the requests and recipes are the same
        loading.check_gives(settings.engine, each.request)
        if each.model is None:
            each.request.model_asked(settings)
        elif not recipes.load(each.model.recipe).lora and each.model.checkpoints:
            raise SettingsError(
                f"this method reads gradients at checkpoints of an adapter, and {each.model.recipe} tunes none",
                "Name another recipe: --param recipe=brief-lora, or your own file with lora above 0.",
            )
    if settings.share is not None:
        raise SettingsError(
            "--share can't be used with this method: what comes next is known when all have answered",
            "Use --executor ray for several GPUs or machines.",
        )


def find_base(settings: Settings) -> Model:
    """The one model that methods tune. Raises SettingsError where there is not one, or it can't be tuned here."""
    _check_base(settings)
    return find_model(settings.model[0], settings)


def _check_base(settings: Settings) -> None:
    if len(settings.model) != 1:
        found = f"there are {len(settings.model)}: {', '.join(settings.model)}" if settings.model else "none is named"
        hint = (
            "Give one --model alone; for several, select once with each." if settings.model else "Name it with --model."
        )
        raise SettingsError(f"this method tunes one model on the way, and {found}", hint)
    engine = loading.find(settings.engine or loading.DEFAULT)
    if engine.made_up or not engine.holds_weights:
        raise SettingsError(
            f"this method tunes a model on the way, and {engine.name} loads no tuned model from this machine",
            f"Use --engine {loading.DEFAULT}.",
        )


def locate_tuned(run: Run, wanted: TunedOn, rows: Int64, base: Model, located: dict[TunedOn, TunedModel]) -> TunedModel:
    """The model that a method asks for, tuned or not.

    Args:
        run: the run.
        wanted: by the method's numbers of rows.
        rows: the rows of the run that these numbers count.
        base: the model of the settings.
        located: those that were located before, to which this one is added: a round's model is also the next one's
            start.

    Raises:
        SettingsError: there is no such recipe.
    """
    if wanted in located:
        return located[wanted]
    start = None if wanted.start is None else locate_tuned(run, wanted.start, rows, base, located)
    under = base if start is None else start.model
    recipe = choose_recipe(wanted)
    chosen = rows[wanted.rows]
    digests = sorted(bytes(each).hex() for each in run.basic_rows().digest[chosen])
    kept = {"checkpoints": wanted.checkpoints} if wanted.checkpoints else {}
    identity = digest_of(
        {"base": under.digest, "rows": digest_of({"rows": digests}), "recipe": recipe.identity(), **kept}
    )
    name = f"{slug(Path(base.name).name)}-tuned-on-{len(chosen)}-rows-{identity[:8]}"
    path = (run.path / FOLDER / identity[:16]).absolute()
    model = Model(name, str(path), identity, base.packaged, tuned=True)
    located[wanted] = TunedModel(model, under, start, chosen, recipe, wanted.checkpoints)
    return located[wanted]


def choose_recipe(wanted: TunedOn) -> Recipe:
    """The recipe with the epochs and the seed that the method decides. Raises SettingsError where there is no such."""
    return dataclasses.replace(recipes.load(wanted.recipe), epochs=wanted.epochs, steps=None, seed=wanted.seed)


def tune(run: Run, tuned: TunedModel, settings: Settings, progress: Progress) -> None:
    """Tune the model, and what it is tuned from, unless its weights are there. Raises as `train`."""
    if tuned.is_finished:
        if has_weights(tuned):
            return
        _remove_training(tuned.path)
    check_learns(tuned.recipe, len(tuned.rows))
    if tuned.start is not None:
        tune(run, tuned.start, settings, progress)
    train(
        run.path,
        tuned.rows,
        tuned.base.path if tuned.start is not None else tuned.base.name,
        tuned.recipe,
        tuned.path,
        accept_terms=settings.accept_terms,
        trust_remote_code=settings.trust_remote_code,
        keep_checkpoints=tuned.checkpoints,
        progress=progress,
    )
    if tuned.checkpoints:
        for file in tuned.path.glob("*.safetensors"):  # nobody asks the model at the end of its training
            file.unlink()


def _remove_training(folder: Path) -> None:
    """Remove a finished training; what says that it is one goes last, so that a kill leaves no other folder."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "training.json":
            path.unlink()
    shutil.rmtree(folder)


def check_learns(recipe: Recipe, rows: int) -> None:
    """Raise SettingsError where the one step of a training has the learning rate with which a warm-up begins: zero."""
    if rows * recipe.epochs <= recipe.batch_size and recipe.warmup_ratio:
        made = f"{rows:,} {'row makes' if rows == 1 else 'rows make'} one step of {recipe.batch_size}"
        raise SettingsError(
            f"{made} rows, and the recipe {recipe.name} begins with a learning rate of zero: nothing would be learnt",
            f"Give more rows to tune on, or more of --param epochs=N: rows x epochs above {recipe.batch_size}; or name "
            "with --param recipe=FILE one with a smaller batch_size or without warmup_ratio.",
        )


def check_trainings(passes: Iterable[Pass]) -> None:
    """Raise SettingsError where one of the trainings in a method's outline would learn nothing; see `check_learns`."""
    for model in (each.model for each in passes if each.model is not None):
        check_learns(choose_recipe(model), len(model.rows))


def has_weights(tuned: TunedModel) -> bool:
    """Whether the weights of a tuned model, or of its checkpoints, are there as a whole."""
    if tuned.checkpoints:
        return all((Path(each.path) / name).is_file() for each in tuned.list_checkpoints() for name in FILES)
    return any(tuned.path.glob("*.safetensors")) and not find_missing_parts(tuned.path)


def remove_weights(run: Run, folders: Iterable[str], before: float = math.inf) -> None:
    """Remove the weights of models that were tuned inside a run; what they answered stays, and their cards.

    Args:
        run: which has them.
        folders: in RUN/tuned; what of their weights is gone already may be.
        before: nanoseconds since 1970; a training that ended later, or has not ended, keeps its weights.
    """
    for folder in (run.path / FOLDER / name for name in folders):
        end = folder / "training.json"
        if not end.is_file() or end.stat().st_mtime_ns > before:
            continue
        if (folder / "checkpoints").exists():
            shutil.rmtree(folder / "checkpoints")
        for file in folder.rglob("*.safetensors"):  # an adapter's are in a folder of its own
            file.unlink()
