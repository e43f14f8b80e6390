"""Benchmarks from local files, in the layouts in which their authors publish them: docs/evaluation.md lists these.

The readers are what the task files of `tasks` name as lm-eval's `custom_dataset`: they give the columns that the
hub's data sets have, so that lm-eval's prompts, filters and metrics stay as they are.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from selectit.errors import DataError
from selectit.jsonable import parse_json

_HINT = "--data-dir is the folder with mmlu/, gsm8k/, bbh/ and tydiqa/ in it: docs/evaluation.md has the layouts."


_SHOTS = 5
"""Questions of a TyDiQA file that are kept as shots where there is no training file."""


Rows = list[dict[str, Any]]


def find_files(benchmark: str, data_dir: str | Path, name: str) -> list[Path]:
    """The files of one part of a benchmark. Raises DataError where one is missing.

    Args:
        benchmark: 'mmlu', 'bbh', 'gsm8k' or 'tydiqa'.
        data_dir: the folder that holds the folders of all benchmarks.
        name: MMLU's subject, BBH's task, TyDiQA's language.
    """
    folder = Path(data_dir) / benchmark
    wanted = {
        "mmlu": [folder / "dev" / f"{name}_dev.csv", folder / "test" / f"{name}_test.csv"],
        "bbh": [folder / f"{name}.json"],
        "gsm8k": [folder / "test.jsonl"],
        "tydiqa": [folder / f"{name}_tydiqa_dev.json"],
    }[benchmark]
    for path in wanted:
        if not path.is_file():
            raise DataError(f"there is no file {path}", _HINT)
    train = folder / f"{name}_tydiqa_train.json"
    return [*wanted, train] if benchmark == "tydiqa" and train.is_file() else wanted


def read_questions(benchmark: str, data_dir: str | Path) -> list[str] | None:
    """What a benchmark asks, of all its files that are there; None where it is not known how they are read.

    Raises DataError where a file is damaged.
    """
    benchmark = benchmark.partition("_")[0]  # of a part, all of its benchmark
    folder = Path(data_dir) / benchmark
    if benchmark == "mmlu":
        return [row["question"] for path in _list_files(folder / "test", "*_test.csv") for row in _mmlu(path)]
    if benchmark == "bbh":
        rows = [(path, place, row) for path in _list_files(folder, "*.json") for place, row in _cases(path)]
        return [_text(path, place, row, "input") for path, place, row in rows]
    if benchmark == "gsm8k":
        return [
            _text(path, at, row, "question") for path in find_files("gsm8k", data_dir, "") for at, row in _lines(path)
        ]
    if benchmark == "tydiqa":
        return [row["question"] for path in _list_files(folder, "*_tydiqa_dev.json") for row in _squad(path)]
    return None


def _list_files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(f"there is no file {folder / pattern}", _HINT)
    return found


def _cases(path: Path) -> list[tuple[int, Mapping[str, Any]]]:
    return _examples(path, _json(path), "examples")


def digest(paths: list[Path]) -> str:
    """16 hexadecimal digits over the files' bytes."""
    state = hashlib.sha256()
    for path in paths:
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()[:16]


def mmlu(*, data_dir: str, name: str, **_metadata: Any) -> Any:
    """Splits `dev` and `test` with question, choices (4 texts) and answer (0 to 3), as cais/mmlu has them."""
    dev, test = find_files("mmlu", data_dir, name)
    return _splits(dev=list(_mmlu(dev)), test=list(_mmlu(test)))


def bbh(*, data_dir: str, name: str, **_metadata: Any) -> Any:
    """Split `test` with input and target."""
    (path,) = find_files("bbh", data_dir, name)
    rows = [{key: _text(path, place, row, key) for key in ("input", "target")} for place, row in _cases(path)]
    return _splits(test=rows)


def gsm8k(*, data_dir: str, name: str, **_metadata: Any) -> Any:
    """Split `test` with question and answer."""
    (path,) = find_files("gsm8k", data_dir, name)
    rows = list(_lines(path))
    return _splits(test=[{key: _text(path, place, row, key) for key in ("question", "answer")} for place, row in rows])


def tydiqa(*, data_dir: str, name: str, **_metadata: Any) -> Any:
    """Splits `train` (for the shots) and `validation`, with id, title, context, question and answers, as SQuAD.

    Where there is no training file the first questions of the development file are the shots, and are not asked.
    """
    dev, *train = find_files("tydiqa", data_dir, name)
    asked = list(_squad(dev))
    if train:
        return _splits(train=list(_squad(train[0])), validation=asked)
    if len(asked) <= _SHOTS:
        raise DataError(f"{dev} has {len(asked)} questions, and {_SHOTS} are kept as shots", _HINT)
    return _splits(train=asked[:_SHOTS], validation=asked[_SHOTS:])


def _splits(**splits: Rows) -> Any:
    from datasets import Dataset, DatasetDict

    return DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()})


def _mmlu(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of question, four choices and the answer: with a header and an index, or (as first published) A to D."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    for place, row in enumerate(rows, start=1):
        if place == 1 and row[:1] == ["question"]:
            continue
        answers = {**{str(at): at for at in range(4)}, **{"ABCD"[at]: at for at in range(4)}}
        if len(row) != 6 or row[5] not in answers:
            raise DataError(
                f"{path}, row {place}: not a question, four choices and an answer (0 to 3 or A to D)", _HINT
            )
        yield {"question": row[0], "choices": row[1:5], "answer": answers[row[5]]}


def _squad(path: Path) -> Iterator[dict[str, Any]]:
    for _, article in _examples(path, _json(path), "data"):
        for _, paragraph in _examples(path, article, "paragraphs"):
            for place, question in _examples(path, paragraph, "qas"):
                answers = [_text(path, at, answer, "text") for at, answer in _examples(path, question, "answers")]
                if not answers:
                    raise DataError(f"{path}: question {question.get('id')!r} has no answer", _HINT)
                yield {
                    "id": _text(path, place, question, "id"),
                    "title": str(article.get("title", "")),
                    "context": _text(path, place, paragraph, "context"),
                    "question": _text(path, place, question, "question"),
                    "answers": {"text": answers},
                }


def _json(path: Path) -> Any:
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}", "Copy it again.") from error


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for place, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield place, parse_json(line)
        except ValueError as error:
            raise DataError(f"{path}, line {place}: not JSON: {error}", "Copy the file again.") from error


def _examples(path: Path, whole: Any, key: str) -> list[tuple[int, Mapping[str, Any]]]:
    found = whole.get(key) if isinstance(whole, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(row, Mapping) for row in found):
        raise DataError(f"{path} has no list of objects {key!r}", _HINT)
    return list(enumerate(found, start=1))


def _text(path: Path, place: int, row: Any, key: str) -> str:
    value = row.get(key) if isinstance(row, Mapping) else None
    if not isinstance(value, str):
        raise DataError(f"{path}, item {place}: there is no text {key!r}", _HINT)
    return value
