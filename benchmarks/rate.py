"""Rating prompts per second: the hf engine against a loop in the manner of SelectIT's published code.

The loop (Blue-Raincoat/SelectIT@4813250:self_reflection/sentence_level.py on a CPU): one forward pass a rating
prompt, batch 1, all logits, fp32, same tokenizer and threads. Both are loaded and warmed outside the timing.
Engine and loop take turns in small pieces, so that a machine which gets slower or faster treats them alike; the
loop's rate is over the first 200 rows, the engine's over all of them, so both are given per token as well.

    python benchmarks/rate.py DATA [--model smollm2] [--limit 1000] [--loop-rows 200] [--batch-tokens 2048]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer

from selectit import models, prompts
from selectit.data import read as reader
from selectit.engines import hf
from selectit.methods import selectit
from selectit.prompts import RatingPrompt
from selectit.schema import Sample
from selectit.selection import spearman

UNIT = 512
WARM_UP = 8


def read(path: Path, limit: int) -> list[Sample]:
    """The first `limit` rows of an Alpaca file."""
    with reader.opened(str(path)) as source:
        records = list(reader.records(source, reader.Checked(), layout=None, which="last", limit=limit))
    return [Sample(record.row, 0, record.turns[0].text, record.turns[1].text) for record in records]


def loop(model: Any, words: Any, labels: list[int], prompt: RatingPrompt, samples: Sequence[Sample]) -> Any:
    """(B, R) log-probabilities and the number of tokens, one forward pass a sample."""
    values, tokens = [], 0
    with torch.inference_mode():
        for sample in samples:
            ids = words(prompt.render(sample.instruction, sample.response), return_tensors="pt")
            logits = model(**ids).logits[0, -1].float()
            values.append(torch.softmax(logits, -1)[labels].log().numpy())
            tokens += ids["input_ids"].shape[1]
    return np.array(values), tokens


def sentence_scores(logprob: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) sentence-level SelectIT of (K, N, R) log-probabilities, profile 'paper'."""
    return selectit.sentence_scores(selectit.token_scores(logprob).T, 0.2, len(logprob))


class Clock:
    """Seconds, ratings and tokens of one way of rating."""

    def __init__(self) -> None:
        self.seconds, self.ratings, self.tokens = 0.0, 0, 0

    def add(self, seconds: float, ratings: int, tokens: int) -> None:
        """Count one piece of work."""
        self.seconds += seconds
        self.ratings += ratings
        self.tokens += tokens

    def __str__(self) -> str:
        return f"{self.ratings / self.seconds:6.2f} prompts/s {self.tokens / self.seconds:7.0f} tokens of text/s"


def compare(
    engine: hf.HFEngine, model: Any, words: Any, samples: Sequence[Sample], loop_rows: int, k: int
) -> tuple[Clock, Clock, float]:
    """Rate `samples` with the engine and the first of them with the loop, by turns.

    Returns both clocks, and the rank correlation of the sentence scores of the rows that both rated.
    """
    fast, slow = Clock(), Clock()
    loop_rows = min(loop_rows, len(samples))
    units = [samples[start : start + UNIT] for start in range(0, len(samples), UNIT)]
    shape = (k, loop_rows, 5)
    by_engine, by_loop = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    for at, prompt in enumerate(prompts.packaged().first(k)):
        labels = [words(prompt.render("", "") + label)["input_ids"][-1] for label in prompt.labels]
        turns = np.array_split(np.arange(loop_rows), len(units))
        done = []
        for unit, turn in zip(units, turns, strict=True):
            halves = np.array_split(turn, 2)
            _timed_loop(slow, by_loop[at], halves[0], model, words, labels, prompt, samples)
            start = time.perf_counter()
            rated = engine.rate([prompt], unit, lambda ratings, tokens: None)[0]
            fast.add(time.perf_counter() - start, len(unit), int(rated.tokens.sum()))
            done.append(rated.logprob)
            _timed_loop(slow, by_loop[at], halves[1], model, words, labels, prompt, samples)
        by_engine[at] = np.concatenate(done)[:loop_rows]
        print(f"prompt {at + 1}: engine {fast} · loop {slow}", flush=True)
    return fast, slow, spearman(sentence_scores(by_engine), sentence_scores(by_loop))


def _timed_loop(
    clock: Clock,
    out: NDArray[np.float32],
    rows: NDArray[np.int64],
    model: Any,
    words: Any,
    labels: list[int],
    prompt: RatingPrompt,
    samples: Sequence[Sample],
) -> None:
    if not len(rows):
        return
    start = time.perf_counter()
    out[rows], tokens = loop(model, words, labels, prompt, [samples[row] for row in rows])
    clock.add(time.perf_counter() - start, len(rows), tokens)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Alpaca rows, at least as many as --limit")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--loop-rows", type=int, default=200)
    parser.add_argument("--batch-tokens", type=int, default=0, help="0 = the engine's choice")
    parser.add_argument("--k", type=int, default=5)
    args = parser.parse_args()
    samples = read(args.data, args.limit)
    folder = models.resolve(args.model).path
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    native = hf.resolve_dtype("auto", "cpu") == "bf16"
    for dtype in ("fp32", "bf16") if native else ("fp32",):
        engine = hf.load(folder, dtype=dtype, max_tokens=2048, batch_tokens=args.batch_tokens)
        prompt = prompts.packaged().first(1)[0]
        engine.rate([prompt], samples[:WARM_UP], lambda ratings, tokens: None)
        loop(model, words, [0], prompt, samples[:WARM_UP])
        load = os.getloadavg()[0]
        fast, slow, agreement = compare(engine, model, words, samples, args.loop_rows, args.k)
        rate, base = fast.ratings / fast.seconds, slow.ratings / slow.seconds
        per_token = (fast.tokens / fast.seconds) / (slow.tokens / slow.seconds)
        print(f"engine {dtype}: {fast}\nloop   fp32: {slow}")
        print(f"ratio {rate / base:.2f} ({per_token:.2f} per token of text), Spearman {agreement:.6f}")
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load before {load:.1f}")
        engine.close()


if __name__ == "__main__":
    main()
