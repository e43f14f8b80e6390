"""Which files of a folder are the data set, and which split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from selectit.errors import DataError, nearest

_TEXTS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
_ENDINGS = (
    *_TEXTS,
    *(f"{text}{packed}" for text in _TEXTS for packed in (".gz", ".zst")),
    ".parquet",
    ".arrow",
    ".feather",
)
_ABOUT = ("README.md", "LICENSE", "LICENSE.txt")
_NO_DATA = (
    *("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "dataset-metadata.json"),
    *("metadata.json", "meta.json", "stats.json", "statistics.json", "config.json", "schema.json", "manifest.json"),
)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory, whose files are no data set."""
    return (folder / "manifest.json").is_file() and (folder / "source").is_dir()


def find_files(path: Path, name: str, split: str | None) -> tuple[list[Path], dict[Path, str]]:
    """The data files of a folder in order, and why others are left out. Raises DataError."""
    found = [
        file
        for file in sorted(path.rglob("*"))
        if not any(p.startswith(".") for p in file.relative_to(path).parts) and file.name not in _ABOUT
    ]
    runs = {folder: "a run directory" for folder in (path, *found) if is_run(folder)}
    if path in runs:
        raise DataError(f"{name} is a run directory, and no data set", f"Choose from it: --run {name}, without DATA.")
    found = [file for file in found if not runs.keys() & {*file.parents}]
    left_out = runs | {file: why for file in found if (why := refuse_file(file))}
    files = [file for file in found if file not in left_out and not file.is_dir()]
    if not files:
        raise DataError(f"the folder {name} has no data files", f"They end in {', '.join(_ENDINGS)}.")
    left_out |= find_other_splits({file: file.relative_to(path) for file in files}, name, split)
    return [file for file in files if file not in left_out], left_out


def find_other_splits(files: Mapping[Path, Path], name: str, split: str | None) -> dict[Path, str]:
    """The files of other splits than the one that is read, with the reason. Raises DataError where that is not clear.

    Args:
        files: each with what of its path tells the split.
        name: of the folder or pattern, for messages.
        split: the one to read; None = the training split and what tells none.
    """
    splits = {file: split_of(path) for file, path in files.items()}
    wanted = _wanted_splits(name, {each for each in splits.values() if each}, split)
    why = {each: f"split {each}" if each else "its name tells no split" for each in splits.values()}
    return {file: why[splits[file]] for file in files if splits[file] not in wanted}


def refuse_file(file: Path) -> str:
    """Why something in a folder is not read; '' = it is data, or a folder whose files are seen by themselves."""
    if file.is_dir():
        return "a link to a folder" if file.is_symlink() else ""
    if file.name in _NO_DATA:
        return "says what other files are"
    if not file.name.lower().endswith(_ENDINGS):
        return "not one of the kinds that are read"
    return "" if not file.is_file() or file.stat().st_size else "empty"


def split_of(file: Path) -> str:
    """The split that the name of a file, or of a folder that it is in, tells; '' = none."""
    shard = re.fullmatch(r"(.+)-\d{5}-of-\d{5}\..+", file.name)
    for part in (file.name.partition(".")[0], *file.parts[-2::-1]):
        joined = re.sub("(held|hold)[^a-z]out", "heldout", part.lower())
        words = [word.removesuffix("set") for word in re.split("[^a-z]+", joined)]
        kind = next((_SPLITS[word] for word in words if word in _SPLITS), "")
        if kind:
            return shard[1] if shard and part == file.name.partition(".")[0] else kind
    return ""


_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "heldout", "holdout"), "test"),
}


def _wanted_splits(name: str, splits: set[str], split: str | None) -> set[str]:
    """The splits to read, '' for files that tell none. Raises DataError where it is not clear which."""
    if split is not None:
        wanted = {each for each in splits if split in (each, split_of(Path(each))) or _SPLITS.get(split) == each}
        if not wanted:
            raise DataError(f"{name} has no files of the split {split!r}", nearest(split, sorted(splits)))
        return wanted
    if len(splits) < 2:
        return {"", *splits}
    training = {each for each in splits if split_of(Path(each)) == "train"}
    if len(training) != 1:
        raise DataError(f"{name} has the splits {', '.join(sorted(splits))}", "Name one with --split.")
    return {"", *training}
