"""Translation of WMT22's test sets: BLEU by sacrebleu, and COMET where its command is installed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from selectit.errors import DataError, EngineError, SettingsError, nearest
from selectit.evaluation import extras, local_files
from selectit.evaluation.harness import Harness, draw
from selectit.evaluation.results import Part, fingerprint, standard_error
from selectit.evaluation.suites import Protocol
from selectit.runs.files import read_json

PAIRS = ("de-en", "en-de", "zh-en", "en-zh", "cs-en", "en-cs", "is-en", "en-is", "ru-en", "en-ru")
"""The directions of fe1ixxu/ALMA; those whose files are there are asked."""


_LANGUAGES = {"de": "German", "en": "English", "zh": "Chinese", "cs": "Czech", "is": "Icelandic", "ru": "Russian"}


COMET = "comet-score"
"""The command of unbabel-comet."""


COMET_MODEL = "Unbabel/wmt22-comet-da"


_KEPT = ("source", "translation", "reference")
"""Files that stay, in comet-score's words."""


def find_pairs(task: str, data_dir: str | None) -> list[str]:
    """The directions that 'wmt22', or one as 'wmt22_de-en', stands for. Raises SettingsError, DataError."""
    hint = "It is the folder with wmt22/newstest22.<direction>.<language> in it."
    if data_dir is None:
        raise SettingsError("wmt22 is read from files", f"Name them with --data-dir. {hint}")
    one = task.partition("_")[2]
    if one and one not in PAIRS:
        raise SettingsError(f"there is no task {task!r}", nearest(task, [f"wmt22_{pair}" for pair in PAIRS]))
    wanted = [one] if one else [pair for pair in PAIRS if all(path.is_file() for path in pair_files(data_dir, pair))]
    for path in [path for pair in wanted for path in pair_files(data_dir, pair)]:
        if not path.is_file():
            raise DataError(f"there is no file {path}", f"--data-dir: {hint}")
    if not wanted:
        raise DataError(f"{Path(data_dir) / 'wmt22'} has no pair of files of any direction", f"--data-dir: {hint}")
    return wanted


def pair_files(data_dir: str, pair: str) -> tuple[Path, Path]:
    """Source and reference of a direction."""
    start = Path(data_dir) / "wmt22" / f"newstest22.{pair}"
    source, target = pair.split("-")
    return Path(f"{start}.{source}"), Path(f"{start}.{target}")


def translation_prompt(pair: str, text: str) -> str:
    """What is asked: fe1ixxu/ALMA's wording."""
    source, target = (_LANGUAGES[language] for language in pair.split("-"))
    return f"Translate this from {source} to {target}:\n{source}: {text}\n{target}:"


def task_fingerprint(harness: Harness, protocol: Protocol, pair: str) -> str:
    """The fingerprint of a direction's part."""
    data = local_files.digest(list(pair_files(harness.settings.data_dir or "", pair)))
    what = (protocol.plain(), pair, data, extras.version("sacrebleu"))
    return fingerprint(harness.model.digest, harness.about(), "wmt22", *what)


def run(harness: Harness, protocol: Protocol, pair: str, folder: Path) -> Part:
    """Translate one direction greedily; the translations stay in `folder`, beside their sources and references."""
    began = time.monotonic()
    source_path, reference_path = pair_files(harness.settings.data_dir or "", pair)
    sources, references = read_lines(source_path), read_lines(reference_path)
    if len(sources) != len(references):
        raise DataError(
            f"{source_path} has {len(sources)} lines and {reference_path} has {len(references)}", "Copy both again."
        )
    items = draw(len(sources), protocol.items, protocol.seed)
    texts = [sources[item] for item in items]
    right = [references[item] for item in items]
    answers = harness.generate([translation_prompt(pair, text) for text in texts], protocol, chat=harness.settings.chat)
    translations = [" ".join(answer.split()) for answer in answers]
    kept = dict(zip(_KEPT, (texts, translations, right), strict=True))
    paths = _paths(harness, protocol, pair, folder)
    folder.mkdir(parents=True, exist_ok=True)
    for what, texts_of in kept.items():
        paths[what].write_text("\n".join(texts_of) + "\n", encoding="utf-8")
    score, signature, stderr = measure_bleu(translations, right, pair)
    return Part(
        name=f"wmt22_{pair}",
        benchmark=f"wmt22 {pair}",
        fingerprint=task_fingerprint(harness, protocol, pair),
        metric="BLEU",
        value=score,
        stderr=stderr,
        items=items,
        values=(),
        metrics={"bleu": score},
        about={
            "version": signature,
            "shots": 0,
            "of": len(sources),
            "translations": str(paths["translation"]),
            "seeds": {"items": protocol.seed},
            "settings": harness.about(),
        },
        seconds=round(time.monotonic() - began, 3),
    )


def _paths(harness: Harness, protocol: Protocol, pair: str, folder: Path) -> dict[str, Path]:
    """The files that stay; other settings have other names, so that COMET and BLEU measure the same text."""
    start = f"wmt22.{pair}.{task_fingerprint(harness, protocol, pair)[:8]}"
    return {what: folder / f"{start}.{what}" for what in _KEPT}


def measure_bleu(translations: Sequence[str], references: Sequence[str], pair: str) -> tuple[float, str, float]:
    """BLEU (0 to 100, higher is better), sacrebleu's signature of it, and its standard error over 1,000 resamples.

    As `sacrebleu REFERENCE -i TRANSLATION -l PAIR -m bleu`: the tokens are those of the target language.
    """
    sacrebleu = extras.load_module("sacrebleu")
    metric = sacrebleu.metrics.BLEU(trg_lang=pair.split("-")[1])
    found = metric.corpus_score(list(translations), [list(references)])
    return float(found.score), str(metric.get_signature()), _resample(metric, translations, references)


def _resample(metric: object, translations: Sequence[str], references: Sequence[str], times: int = 1000) -> float:
    """The deviation of BLEU over samples of lines drawn with return (Koehn 2004); NaN of fewer than two lines."""
    import numpy as np

    if len(translations) < 2:
        return float("nan")
    # Statistics of lines add up: sacrebleu's own bootstrap (-ci) works on the same sums.
    stats = np.array(metric._extract_corpus_statistics(list(translations), [list(references)]))  # type: ignore[attr-defined]
    draws = np.random.default_rng(12345).integers(len(stats), size=(times, len(stats)))
    scores = [metric._compute_score_from_stats(stats[rows].sum(0).tolist()).score for rows in draws]  # type: ignore[attr-defined]
    return float(np.std(scores, ddof=1))


def comet_fingerprint(harness: Harness, protocol: Protocol, pair: str) -> str:
    """The fingerprint of a direction's COMET."""
    return fingerprint(task_fingerprint(harness, protocol, pair), COMET_MODEL)


def measure_comet(harness: Harness, protocol: Protocol, pair: str, folder: Path) -> Part:
    """COMET-22 of the translations that `run` has left in `folder`, by unbabel-comet's command `comet-score`.

    It is a separate program, since unbabel-comet needs older versions of numpy and transformers than this one.

    Raises EngineError where the command fails.
    """
    began = time.monotonic()
    paths = _paths(harness, protocol, pair, folder)
    for path in paths.values():
        if not path.is_file():
            raise EngineError(
                f"there is no {path}, which COMET is measured on",
                f"Remove wmt22_{pair} from the parts of {folder}.json, and it is translated again.",
            )
    report = paths["translation"].with_suffix(".comet.json")
    arguments = [COMET, *(f"--{what}s={path}" for what, path in paths.items()), f"--model={COMET_MODEL}"]
    done = subprocess.run([*arguments, f"--to_json={report}", "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip().splitlines()
        raise EngineError(
            f"{COMET} failed: {output[-1] if output else done.returncode}",
            "BLEU is stored. Mend it, or take it from the PATH, and type the same command again.",
        )
    (sentences,) = read_json(report).values()
    values = [float(each["COMET"]) for each in sentences]
    count = len(read_lines(pair_files(harness.settings.data_dir or "", pair)[0]))
    items = draw(count, protocol.items, protocol.seed)
    if len(values) != len(items):
        raise EngineError(f"{COMET} scored {len(values)} of {len(items)} sentences", "See what it says by itself.")
    return Part(
        name=f"wmt22_{pair}_comet",
        benchmark=f"wmt22 {pair} COMET",
        fingerprint=comet_fingerprint(harness, protocol, pair),
        metric="COMET",
        value=sum(values) / len(values),
        stderr=standard_error(values),
        items=items,
        values=tuple(values),
        metrics={},
        about={"version": COMET_MODEL, "shots": 0, "of": count, "seeds": {"items": protocol.seed}},
        seconds=round(time.monotonic() - began, 3),
    )


def has_comet() -> bool:
    """Whether unbabel-comet's command is there."""
    return shutil.which(COMET) is not None


def read_lines(path: Path) -> list[str]:
    """The sentences of a file."""
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
