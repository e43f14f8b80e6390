"""All that is measured on one GPU, in ten minutes: ratings, losses, gradients, methods that tune, and an experiment.

    python benchmarks/gpu.py ALPACA --long LONG --other OTHER --out gpu [--minutes 9.5] [--small] [--only PART …]

ALPACA is a sample of Alpaca, LONG and OTHER are held-out data of other kinds (LLaMA-Factory's alpaca_en_demo.json and
Dolly, in Alpaca's layout). Every part has a share of the time; what does not fit is named and left out. Typed again it
goes on: what OUT/results.json holds is not measured again, and the experiment goes on by itself. Ends with the tables
in Markdown, also in OUT/results.md. --small tries all of it with a few rows and a tiny random model: its figures mean
nothing.

Parts: `ranks`, sentence scores of bf16 ratings beside fp32; `losses`, at several sizes of a part; `gradients` in bf16,
with and without gradient checkpointing; `procedures`, benchmarks/procedures.py; `experiment`, one-gpu.toml with one
seed and the choices that read gradients or tune on the way, beside all rows and random ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from procedures import HEAD, METHODS
from rate import read, sentence_scores
from selectit.costs.measure import part_bytes
from selectit.data.records import Sample
from selectit.engines import memory
from selectit.engines.hf import engine as hf_engine
from selectit.engines.hf import gradients as hf_gradients
from selectit.errors import SelectitError
from selectit.models import resolve
from selectit.numerics.ranking import spearman
from selectit.signals import prompts
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples" / "experiments"
SHARES = {"ranks": 0.1, "losses": 0.1, "gradients": 0.2, "procedures": 0.25, "experiment": 0.35}
"""Of the time; what a part leaves goes to the next ones."""
CHOICES = ("full", "random", "mods-selfnll", "diverse-evol", "tagcos", "less", "gist")
"""Of the experiment, by the beginnings of their methods."""


@dataclass(frozen=True)
class Sizes:
    """Rows of everything."""

    ranked: int = 2048
    prompts: int = 5
    losses: tuple[int, ...] = (512, 2048, 8192)
    gradients: tuple[int, ...] = (1000, 4000)
    dimensions: int = 512
    chosen: int = 300
    methods: tuple[str, ...] = tuple(METHODS)
    heldout: int = 300
    examples: int = 50
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the experiment's file."""


SMALL = Sizes(
    ranked=10, prompts=2, losses=(4, 8), gradients=(4, 8), dimensions=16, chosen=400, methods=("delta-loss", "tagcos"),
    heldout=4, examples=4,
    changes={"budgets": ["60"], "recipe_changes": {"steps": 2, "batch_size": 4, "micro_batch": 2, "max_tokens": 256}},
)  # fmt: skip


class Results:
    """What is measured, by part and by line: OUT/results.json."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def measure(self, part: str, line: str, until: float, make: Callable[[], Any]) -> None:
        """Have one line made and kept, unless it is there or the part's time is over."""
        known = self.parts.setdefault(part, {})
        if line in known:
            return
        if time.monotonic() >= until:
            print(f"{part}: {line} left out, the time is over", flush=True)
            return
        began = time.monotonic()
        made = make()
        if made is None:
            print(f"{part}: {line} stopped, the time is over", flush=True)
            return
        known[line] = made
        self.path.write_text(json.dumps(self.parts, indent=1))
        print(f"{part}: {line} in {time.monotonic() - began:.0f} s: {json.dumps(known[line])}", flush=True)


def main() -> int:
    """Measure part by part and print the tables; the number of parts that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alpaca", type=Path)
    parser.add_argument("--long", type=Path, required=True)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="+", choices=SHARES, default=list(SHARES))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sizes = SMALL if args.small else Sizes()
    model = build_tiny(args.out / "tiny") if args.small else args.model
    folder, results = resolve.resolve(model).path, Results(args.out / "results.json")
    parts: dict[str, Callable[[float], None]] = {
        "ranks": lambda until: rank(results, until, folder, args.alpaca, sizes),
        "losses": lambda until: read_losses(results, until, folder, args.alpaca, sizes),
        "gradients": lambda until: read_gradients(results, until, folder, args.alpaca, sizes),
        "procedures": lambda until: follow(results, until, model, args, sizes),
        "experiment": lambda until: experiment(until, model, args, sizes),
    }
    end, left, failed = time.monotonic() + 60 * args.minutes, 1.0, list[str]()
    for part in args.only:
        share = SHARES[part] / left if len(args.only) == len(SHARES) else 1 / (len(args.only) - args.only.index(part))
        left -= SHARES[part]
        now = time.monotonic()
        try:
            parts[part](now + (end - now) * min(share, 1))
        except (SelectitError, RuntimeError, OSError) as error:  # the other parts are wanted all the same
            failed.append(f"{part} failed: {error}")
            print(failed[-1], flush=True)
    out = (args.out / "results.md").absolute()
    text = "\n\n".join([*tables(results.parts), *experiment_tables((args.out / "experiment").absolute()), *failed])
    out.write_text(text + "\n")
    print(text)
    return len(failed)


def build_tiny(folder: Path) -> str:
    """A tiny random model with a chat template, for --small."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from tiny import build_chat

    return str(folder if folder.is_dir() else build_chat(folder))


def rank(results: Results, until: float, folder: str, data: Path, sizes: Sizes) -> None:
    """Sentence scores in bf16 beside those in fp32, in one process, and ratings a second of each."""

    def make() -> dict[str, Any]:
        samples = read(data, sizes.ranked)
        asked = prompts.packaged().first(sizes.prompts)
        found, rates = {}, {}
        for dtype in ("fp32", "bf16"):
            engine = hf_engine.load(folder, dtype=dtype, max_tokens=2048)
            engine.rate(asked[:1], samples[:64], lambda *_: None)
            began = time.perf_counter()
            rated = engine.rate(asked, samples, lambda *_: None)
            rates[dtype] = len(samples) * len(asked) / (time.perf_counter() - began)
            found[dtype] = sentence_scores(stack(rated))
            engine.close()
        fifth = max(len(samples) // 5, 1)
        best = [set((-found[dtype]).argsort(kind="stable")[:fifth].tolist()) for dtype in found]
        return {
            "rows": len(samples),
            "prompts": len(asked),
            "rank correlation": round(spearman(found["fp32"], found["bf16"]), 4),
            "best fifth the same": round(len(best[0] & best[1]) / fifth, 3),
            **{f"{dtype} prompts/s": round(rate, 1) for dtype, rate in rates.items()},
        }

    results.measure("ranks", "bf16 beside fp32", until, make)


def stack(rated: list[Any]) -> Any:
    """(K, N, R) log-probabilities of K prompts."""
    import numpy as np

    return np.stack([each.logprob for each in rated])


def read_losses(results: Results, until: float, folder: str, data: Path, sizes: Sizes) -> None:
    """Losses in parts of several sizes: batches are formed inside a part."""
    text = loss_text("alpaca")
    engine, samples = None, read(data, max(sizes.losses))
    for part in sizes.losses:
        line = f"parts of {part} rows"
        if time.monotonic() < until and line not in results.parts.get("losses", {}) and engine is None:
            engine = hf_engine.load(folder, dtype="bf16", max_tokens=2048)
            engine.losses(text, samples[:64], lambda *_: None)
        results.measure("losses", line, until, lambda part=part, engine=engine: _losses(engine, text, samples, part))
    if engine is not None:
        engine.close()


def _losses(engine: Any, text: Any, samples: list[Sample], part: int) -> dict[str, Any]:
    memory.reset_peak()
    began = time.perf_counter()
    for start in range(0, len(samples), part):
        engine.losses(text, samples[start : start + part], lambda *_: None)
    seconds = time.perf_counter() - began
    return {"rows": len(samples), "rows/s": round(len(samples) / seconds, 1), "GiB": gib()}


def read_gradients(results: Results, until: float, folder: str, data: Path, sizes: Sizes) -> None:
    """Gradients of a fresh adapter in bf16: time, memory and disk, layers computed again on the way back or kept."""
    request = GradientRequest(loss_text("alpaca", both=False), 4, 4, dimensions=sizes.dimensions)
    samples = [each for each in read(data, max(sizes.gradients) + 500) if each.response.strip()]
    for checkpointing in (True, False):
        lines = {
            rows: f"{rows} rows, {'with' if checkpointing else 'without'} checkpointing" for rows in sizes.gradients
        }
        if set(lines.values()) <= results.parts.get("gradients", {}).keys() or time.monotonic() >= until:
            continue
        engine = hf_gradients.load(folder, dtype="bf16", max_tokens=2048)
        use_checkpointing(engine, checkpointing)
        engine.gradients(request, samples[:16], lambda *_: None)
        for rows, line in lines.items():
            make = lambda rows=rows, engine=engine: _gradients(engine, request, samples[:rows])  # noqa: E731
            results.measure("gradients", line, until, make)
        engine.close()


def use_checkpointing(engine: hf_gradients.GradientEngine, wanted: bool) -> None:
    """Have layers computed again on the way back, as on a GPU, or kept."""
    from selectit.engines.hf.differentiate import checkpoint_layers

    model = engine._losses.reader.model
    if wanted:
        checkpoint_layers(model)
    else:
        model.gradient_checkpointing_disable()


def _gradients(engine: Any, request: GradientRequest, samples: list[Sample]) -> dict[str, Any]:
    memory.reset_peak()
    began = time.perf_counter()
    answer = request.ask(engine, samples, lambda *_: None)
    seconds = time.perf_counter() - began
    tokens = int(sum(answer.tokens or ()))
    size = part_bytes([request.table(samples, answer)])[0] / len(samples)
    return {
        "tokens": tokens, "seconds": round(seconds, 2), "tokens/s": round(tokens / seconds), "GiB": gib(),
        "bytes a row": round(size), "errors": sum(each is not None for each in answer.errors),
    }  # fmt: skip


def gib() -> float:
    """Most memory since it was reset: of the GPU, else of this process."""
    return round((memory.accelerator_peak() or memory.peak() or 0) / 2**30, 2)


def follow(results: Results, until: float, model: str, args: argparse.Namespace, sizes: Sizes) -> None:
    """Each method that tunes on the way, by benchmarks/procedures.py: its line of that table."""
    for method in sizes.methods:
        command = [sys.executable, str(HERE / "procedures.py"), str(args.alpaca), "--model", model, "--only", method]
        command += ["--limit", str(sizes.chosen), "--keep", str(sizes.chosen // 5), "--run", str(args.out / "methods")]
        results.measure("procedures", method, until, lambda command=command: run(command, until))


def run(command: list[str], until: float, cwd: Path | None = None) -> str | None:
    """The last line that a command prints; None where it was stopped, since the time was over: what is done stays."""
    path = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command, cwd=cwd, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
            timeout=max(until - time.monotonic(), 1),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout.strip().splitlines()[-1]


def experiment(until: float, model: str, args: argparse.Namespace, sizes: Sizes) -> None:
    """one-gpu.toml with one seed and `CHOICES`, until the time is over."""
    folder = (args.out / "experiment").absolute()
    folder.mkdir(exist_ok=True)
    write_experiment(folder, model, args, sizes)
    command = [sys.executable, "-m", "selectit", "experiment", "one-gpu.toml", "--out", "cells"]
    print(run(command, until, folder) or "experiment: stopped, the time is over", flush=True)


def write_experiment(folder: Path, model: str, args: argparse.Namespace, sizes: Sizes) -> None:
    """The file of the experiment and its data: held-out rows of three kinds, and examples that are none of them."""
    alpaca, long, other = (json.loads(path.read_text()) for path in (args.alpaca, args.long, args.other))
    if args.small:  # the tiny model reads 512 tokens
        long = [row for row in long if len(row["instruction"] + row["input"] + row["output"]) < 400]
    random.Random(0).shuffle(long)
    write_json(folder / "alpaca.json", alpaca[: 10 * sizes.chosen] if args.small else alpaca)
    write_json(folder / "long.json", long[: sizes.heldout])
    write_json(folder / "wanted.json", long[sizes.heldout :][: sizes.examples])
    write_json(folder / "short.json", random.Random(1).sample(alpaca, sizes.heldout))
    write_json(folder / "other.json", random.Random(2).sample(other, sizes.heldout))
    table = tomllib.loads((EXAMPLES / "one-gpu.toml").read_text())
    table |= {"data": "alpaca.json", "models": [model], "seeds": [0]}
    table["choices"] = [each for each in table["choices"] if each["method"].split(":")[0] in CHOICES]
    if args.small:
        table |= {**sizes.changes, "models": [str(Path(model).absolute())]}
        table["settings"] |= {"limit": sizes.chosen, "encoder": str(Path(model).absolute())}
    (folder / "one-gpu.toml").write_text(tomli_w.dumps(table))


def write_json(path: Path, rows: list[Any]) -> None:
    """Written once, so that the experiment that is typed again is the same."""
    if not path.exists():
        path.write_text(json.dumps(rows, ensure_ascii=False))


def tables(parts: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A table of each part but the experiment."""
    for part, lines in parts.items():
        if not lines:
            continue
        if part == "procedures":
            yield "\n".join([f"## {part}", "", HEAD, "|---" * 11 + "|", *map(str, lines.values())])
            continue
        names = list(next(iter(lines.values())))
        rows = [f"| {line} | {' | '.join(f'{found[name]:,}' for name in names)} |" for line, found in lines.items()]
        yield "\n".join([f"## {part}", "", f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|", *rows])


def experiment_tables(folder: Path) -> Iterator[str]:
    """The experiment's report of the cells that are finished."""
    if not (folder / "cells" / "cells").is_dir():
        return
    from selectit.experiments.cell import ExperimentFolder, read_outcome
    from selectit.experiments.clean import clean_data
    from selectit.experiments.load import load
    from selectit.experiments.report.sections import build_sections, render_section
    from selectit.experiments.settings import list_cells

    os.chdir(folder)  # the experiment's paths are seen from there
    loaded = load("one-gpu.toml")
    place = ExperimentFolder(loaded, Path("cells"), clean_data(loaded, Path("cells")))
    outcomes = [found for cell in list_cells(loaded) if (found := read_outcome(place, cell)) is not None]
    yield f"## experiment: {len(outcomes)} of {len(list_cells(loaded))} cells"
    yield from (render_section(section) for section in build_sections(outcomes, loaded.choices) if outcomes)


if __name__ == "__main__":
    sys.exit(main())
