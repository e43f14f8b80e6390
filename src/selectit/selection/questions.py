"""What evaluations ask: questions that no chosen row may share."""

from __future__ import annotations

from pathlib import Path

from selectit.data.damage import reading
from selectit.errors import SettingsError
from selectit.evaluation import alpacaeval, humaneval, local_files, translation
from selectit.evaluation.heldout import read_last_answers
from selectit.evaluation.settings import EvalSettings
from selectit.filters.overlap import QuestionSet

BENCHMARKS = ("alpacaeval", "bbh", "gsm8k", "humaneval", "mmlu", "tydiqa", "wmt22")


def read_file(path: str, settings: EvalSettings = EvalSettings()) -> QuestionSet:
    """The last question of each record of a data set, or the lines of a .txt file; `settings` say the layout.

    Raises DataError where it can't be read.
    """
    if Path(path).suffix != ".txt":
        return QuestionSet(Path(path).name, [sample.instruction for sample in read_last_answers(path, settings)])
    with reading(path, "Name a text in UTF-8 with a question on each line."):
        return QuestionSet(Path(path).name, Path(path).read_text(encoding="utf-8-sig").splitlines())


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
        return read_file(name, EvalSettings(roles=roles))
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
        f"Name a data set, a .txt file with a question on each line, or one of {', '.join(BENCHMARKS)}.",
    )
