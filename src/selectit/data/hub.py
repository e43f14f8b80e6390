"""Data sets of the hub."""

from __future__ import annotations

from pathlib import Path

from selectit.errors import DataError, install


def fetch(name: str, split: str | None, subset: str | None) -> tuple[Path, ...]:
    """The Parquet files that the hub keeps of every data set, in one split of one subset. Raises DataError."""
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise DataError(
            f"there is no file {name}", f"For a data set of the hub: {install('huggingface_hub')}"
        ) from error
    pattern = f"{subset or '*'}/{split or 'train'}/*.parquet"
    try:
        folder = Path(
            snapshot_download(name, repo_type="dataset", revision="refs/convert/parquet", allow_patterns=[pattern])
        )
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"there is no file {name}, and it can't be fetched from the hub: {reason}",
            "Look for a typing error; for a gated data set accept its terms on its page and run: hf auth login",
        ) from error
    files = sorted(folder.glob(pattern))
    subsets = sorted({file.parent.parent.name for file in files})
    if len(subsets) > 1:
        raise DataError(f"{name} has the subsets {', '.join(subsets)}", "Name one with --subset.")
    if not files:
        raise DataError(f"{name} has no split {split or 'train'!r} in that subset", "Name them: --subset, --split.")
    return tuple(files)
