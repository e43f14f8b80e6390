"""What evaluations ask: questions that no chosen row may share."""

from __future__ import annotations

from pathlib import Path

from selectit.data.damage import reading
from selectit.data.examples import read_examples
from selectit.data.layouts import parse_roles
from selectit.errors import SettingsError, nearest
from selectit.evaluation import alpacaeval, humaneval, local_files, translation
from selectit.filters.overlap import QuestionSet

BENCHMARKS = ("alpacaeval", "bbh", "gsm8k", "humaneval", "mmlu", "tydiqa", "wmt22")


def _read_file(path: str, roles: tuple[str, ...]) -> list[str]:
    """The last question of each record, with an answer or without, or the lines of a .txt file. Raises DataError."""
    if Path(path).suffix != ".txt":
        return [example.instruction for example in read_examples(path, roles=parse_roles(roles))]
    with reading(path, "Name a text in UTF-8 with a question on each line."):
        return Path(path).read_text(encoding="utf-8-sig").splitlines()


def read_benchmark(benchmark: str, data_dir: str | None) -> QuestionSet | None:
    """What a benchmark asks, of all its files; None where there are none, or it is not known how they are read.

    Raises DataError where a file can't be read, SettingsError where HumanEval is asked and not installed.
    """
    questions = _read_questions(benchmark, data_dir)
    return None if questions is None else QuestionSet(benchmark, questions)


def _read_questions(benchmark: str, data_dir: str | None) -> list[str] | None:
    if benchmark == "humaneval":
        return [problem["prompt"] for problem in humaneval.load_problems().values()]  # the package brings them along
    if data_dir is None:
        return None
    if benchmark == "alpacaeval":
        return [record["instruction"] for record in alpacaeval.read_instructions(data_dir)[1]]
    if benchmark.partition("_")[0] == "wmt22":
        files = (
            path
            for pair in translation.find_pairs(benchmark, data_dir)
            for path in translation.pair_files(data_dir, pair)
        )
        return [line for path in files for line in translation.read_lines(path)]
    return local_files.read_questions(benchmark, data_dir)


def read_named(name: str, data_dir: str | None, roles: tuple[str, ...] = ()) -> QuestionSet:
    """The questions of a file, or of a benchmark in `data_dir`. Raises DataError and SettingsError."""
    if Path(name).exists():
        return QuestionSet(Path(name).name, _read_file(name, roles))
    found = read_benchmark(name, data_dir)
    if found is not None:
        return found
    if name.partition("_")[0] in BENCHMARKS:
        raise SettingsError(
            f"--decontaminate {name}: the benchmark's files are needed",
            "Name the folder with them: --data-dir DIR; docs/evaluation.md has the layouts.",
        )
    raise SettingsError(
        f"--decontaminate {name}: there is no such file or benchmark",
        f"{nearest(name, BENCHMARKS)} Or name a data set, or a .txt file with a question on each line.",
    )
