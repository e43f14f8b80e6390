"""AlpacaEval's 805 instructions, answered by the model and compared with the reference answers by any judge.

The package alpaca-eval (0.6.6) is not used: it imports pkg_resources, which setuptools has no longer, asks for one
order only, and has no ties. So the win rates here are the named judge's, and no others may be set beside them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.engines.loading import load_engine
from selectit.errors import DataError, EngineError, SettingsError
from selectit.evaluation import local_files
from selectit.evaluation.harness import Harness, draw
from selectit.evaluation.results import Part, fingerprint, standard_error
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import Protocol
from selectit.models import resolve
from selectit.models.files import Model
from selectit.runs.files import read_json, write_json
from selectit.signals.judgements import Replies
from selectit.signals.requests import JudgeRequest

REFUSAL = "it needs a judge: name one with --judge (and --judge-url for a served one)"
QUESTION = JudgeRequest(
    system="You compare two answers to an instruction, fairly and briefly.",
    text=(
        "Instruction:\n{instruction}\n\n{response}\n\n"
        "Which answer follows the instruction better: is it more correct, more helpful and clearer? Their order and "
        "their length must not matter. Reply with one letter: A, B, or C where neither is better."
    ),
    max_new_tokens=8,
)


PAIRS = 50
"""Judged between two savings."""


_VERDICT = re.compile(r"\b([ABC])\b")


def read_instructions(data_dir: str | None) -> tuple[Path, list[dict[str, str]]]:
    """The file of version 1 and its records: instruction, and output of text-davinci-003. Raises DataError."""
    if data_dir is None:
        raise SettingsError("alpacaeval is read from a file", "Name its folder with --data-dir: docs/evaluation.md.")
    path = Path(data_dir) / "alpaca_eval" / "text_davinci_003.json"
    hint = "--data-dir is the folder with alpaca_eval/text_davinci_003.json (tatsu-lab/alpaca_eval) in it."
    if not path.is_file():
        raise DataError(f"there is no file {path}", hint)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        records = [{key: str(row[key]) for key in ("instruction", "output")} for row in found]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} has no list of records with instruction and output: {error!r}", hint) from error
    return path, records


def resolve_judge(settings: EvalSettings) -> Model:
    """The judge: a model here, or the name of a served one. Raises SettingsError, ModelError."""
    if settings.judge is None:
        raise SettingsError("alpacaeval needs a judge", "Name one with --judge (and --judge-url for a served one).")
    if settings.judge_url is not None:
        return Model(settings.judge, "", f"server:{settings.judge}", False)
    return resolve.resolve(settings.judge, accept_terms=settings.accept_terms)


def task_fingerprint(harness: Harness, protocol: Protocol, judge: Model) -> str:
    """The fingerprint of the part."""
    path, _ = read_instructions(harness.settings.data_dir)
    what = (protocol.plain(), local_files.digest([path]), judge.digest, QUESTION.system, QUESTION.text)
    return fingerprint(harness.model.digest, harness.about(), "alpacaeval", *what)


def run(harness: Harness, protocol: Protocol, judge: Model, folder: Path) -> Part:
    """Answer, then let the judge compare in both orders.

    Answers are kept, as a judge may fail or be another, and verdicts every `PAIRS` pairs.
    """
    began = time.monotonic()
    mark = task_fingerprint(harness, protocol, judge)
    _, records = read_instructions(harness.settings.data_dir)
    items = draw(len(records), protocol.items, protocol.seed)
    asked = [records[item] for item in items]
    answers, chat = _answer(harness, protocol, [record["instruction"] for record in asked], folder)
    harness.close()  # two models may not fit into memory
    kept = folder / f"alpacaeval.{fingerprint(mark, answers)}.replies.json"
    replies = judge_pairs(judge, harness.settings, [record["instruction"] for record in asked], answers,
                     [record["output"] for record in asked], kept)  # fmt: skip
    outcomes = [parse_verdicts(*pair) for pair in replies]
    _write(folder / "alpacaeval.json", asked, answers, replies, outcomes)
    values = [outcome for outcome in outcomes if outcome is not None]
    if not values:
        raise EngineError(f"the judge {judge.name} gave no verdict", f"It said {replies[0][0]!r}.")
    return Part(
        name="alpacaeval",
        benchmark="alpacaeval",
        fingerprint=mark,
        metric=f"win rate by {judge.name}",
        value=sum(values) / len(values),
        stderr=standard_error(values),
        items=tuple(item for item, outcome in zip(items, outcomes, strict=True) if outcome is not None),
        values=tuple(values),
        metrics={
            "wins": float(values.count(1.0)),
            "ties": float(values.count(0.5)),
            "losses": float(values.count(0.0)),
            "no_verdict": float(len(outcomes) - len(values)),
        },
        about={
            "version": "1: instructions and reference of text-davinci-003; judged by selectit",
            "shots": 0,
            "of": len(records),
            "judge": judge.name,
            "judge_digest": judge.digest,
            "chat": chat,
            "seeds": {"items": protocol.seed},
            "settings": harness.about(),
        },
        seconds=round(time.monotonic() - began, 3),
    )


def _answer(harness: Harness, protocol: Protocol, asked: Sequence[str], folder: Path) -> tuple[list[str], bool]:
    """The model's answers, and whether they were asked in its chat template (where it has one). Made once."""
    mark = fingerprint(harness.model.digest, harness.about(), "alpacaeval", protocol.plain(), list(asked))
    path = folder / f"alpacaeval.{mark}.answers.json"
    if not path.is_file():
        chat = bool(getattr(harness.lm.tokenizer, "chat_template", None))
        answers = harness.generate(asked, protocol, chat=chat)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"chat": chat, "answers": answers})
    kept = read_json(path)
    return kept["answers"], kept["chat"]


def judge_pairs(
    judge: Model, settings: EvalSettings, asked: Sequence[str], ours: Sequence[str], theirs: Sequence[str], kept: Path
) -> list[tuple[str | None, str | None]]:
    """The judge's replies on each pair: with our answer as A, and with our answer as B.

    Args:
        judge: from `resolve_judge`.
        settings: where it is served.
        asked: N instructions.
        ours: N answers of the model.
        theirs: N answers of the reference.
        kept: a file of the replies so far, written every `PAIRS` pairs: what is in it is not asked again. Pairs
            without a verdict are not in it, as the judge may be mended.
    """
    known: dict[str, list[str | None]] = read_json(kept) if kept.is_file() else {}
    pairs = list(zip(asked, ours, theirs, strict=True))
    todo = [number for number in range(len(pairs)) if str(number) not in known]
    found: list[tuple[str | None, str | None]] = [(None, None)] * len(pairs)
    for number, (as_a, as_b) in known.items():
        found[int(number)] = as_a, as_b
    if not todo:
        return found
    with _load_judge(judge, settings) as engine:
        for start in range(0, len(todo), PAIRS):
            some = todo[start : start + PAIRS]
            samples = [sample for place in some for sample in _both(place, *pairs[place])]
            said = [reply.text for reply in engine.reply(QUESTION, samples, lambda done, tokens: None)]
            for place, first, second in zip(some, said[::2], said[1::2], strict=True):
                found[place] = first, second
                if parse_verdicts(first, second) is not None:
                    known[str(place)] = [first, second]
            write_json(kept, known)
    return found


def _both(row: int, instruction: str, ours: str, theirs: str) -> Iterator[Sample]:
    """The pair in both orders."""
    for item, (first, second) in enumerate(((ours, theirs), (theirs, ours))):
        yield Sample(row, item, instruction, f"Answer A:\n{first}\n\nAnswer B:\n{second}")


def parse_verdicts(as_a: str | None, as_b: str | None) -> float | None:
    """1 where our answer won, 0 where it lost, 0.5 for a tie or where the two orders disagree; None without a verdict.

    Args:
        as_a: the judge's reply with our answer as A.
        as_b: its reply with our answer as B.
    """
    found = [_VERDICT.search(reply or "") for reply in (as_a, as_b)]
    if not all(found):
        return None
    first, second = (cast("re.Match[str]", match)[1] for match in found)
    if (first, second) == ("A", "B"):
        return 1.0
    return 0.0 if (first, second) == ("B", "A") else 0.5


@contextmanager
def _load_judge(judge: Model, settings: EvalSettings) -> Iterator[Replies]:
    served = settings.judge_url is not None
    own = Settings(engine="server" if served else "hf", base_url=settings.judge_url)
    engine = cast(Replies, load_engine(judge, own, {}, "judgements"))
    try:
        yield engine
    finally:
        engine.close()


def _write(
    path: Path, asked: Sequence[Any], answers: Sequence[str], replies: Sequence[Any], won: Sequence[Any]
) -> None:
    """Keep every answer and verdict, to be read."""
    rows = [
        {**record, "answer": answer, "as_a": pair[0], "as_b": pair[1], "won": outcome}
        for record, answer, pair, outcome in zip(asked, answers, replies, won, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
