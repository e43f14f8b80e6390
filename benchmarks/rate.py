"""Rating prompts per second: the hf engine against a loop in the manner of SelectIT's published code.

The loop (Blue-Raincoat/SelectIT@4813250:self_reflection/sentence_level.py on a CPU): one forward pass a rating
prompt, batch 1, all logits, fp32, same tokenizer and threads. Both are loaded and warmed outside the timing.
Engine and loop take turns in small pieces, so that a machine which gets slower or faster treats them alike; the
loop's rate is over the first 200 rows, the engine's over all of them, so both are given per token as well.

The limit is what the layers' matrix products alone take for a batch of tokens, in the engine's dtype in the same
process; the share of it is the tokens that had to be computed (the shared beginning once a batch) a second, over that.

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

from selectit.data import read as reader
from selectit.data import sources
from selectit.data.records import Sample
from selectit.data.samples import build_samples
from selectit.engines import device as engines_device
from selectit.engines.hf import engine as hf_engine
from selectit.engines.hf.packing import common_prefix
from selectit.methods import selectit
from selectit.models import resolve
from selectit.numerics import label_probs
from selectit.numerics.ranking import spearman
from selectit.signals import prompts
from selectit.signals.requests import RatingPrompt

UNIT = 512
WARM_UP = 8


def read(path: Path, limit: int) -> list[Sample]:
    """The first `limit` rows of an Alpaca file."""
    with sources.open_source(str(path)) as source:
        records = list(reader.read_records(source, reader.ReadReport(), reader.ReadSpec(limit=limit)))
    return [build_samples(each.row, each.turns, "last", each.inputs)[0] for each in records]


def loop(model: Any, words: Any, labels: list[int], prompt: RatingPrompt, samples: Sequence[Sample]) -> Any:
    """(B, R) log-probabilities and the number of tokens, one forward pass a sample."""
    values, tokens = [], 0
    with torch.inference_mode():
        for sample in samples:
            ids = words(prompt.render(sample.instruction, sample.response), return_tensors="pt").to(model.device)
            logits = model(**ids).logits[0, -1].float()
            values.append(torch.softmax(logits, -1)[labels].log().cpu().numpy())
            tokens += ids["input_ids"].shape[1]
    return np.array(values), tokens


def sentence_scores(logprob: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) sentence-level SelectIT of (K, N, R) log-probabilities, profile 'paper'."""
    return label_probs.sentence_scores(selectit.token_scores(logprob).T, 0.2, len(logprob))


class Clock:
    """Seconds, ratings and tokens of one way of rating."""

    def __init__(self) -> None:
        self.seconds, self.ratings, self.tokens, self.computed = 0.0, 0, 0, 0

    def add(self, seconds: float, ratings: int, tokens: int) -> None:
        """Count one piece of work."""
        self.seconds += seconds
        self.ratings += ratings
        self.tokens += tokens

    def __str__(self) -> str:
        return f"{self.ratings / self.seconds:6.2f} prompts/s {self.tokens / self.seconds:7.0f} tokens of text/s"


def matrix_limit(engine: hf_engine.HFEngine, rounds: int = 5) -> float:
    """Tokens a second if there were nothing but the layers' matrix products, in batches of the engine's size."""
    model, tokens = engine._reader.model, int(engine.settings["batch_tokens"])
    matrices = [each for each in model.get_decoder().modules() if isinstance(each, torch.nn.Linear)]
    given = {each.in_features: torch.randn(tokens, each.in_features).to(model.device, model.dtype) for each in matrices}
    times = []
    with torch.inference_mode():
        for _ in range(rounds):
            start = time.perf_counter()
            for each in matrices:
                each(given[each.in_features])
            if model.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return tokens / float(np.median(times))


def compare(
    engine: hf_engine.HFEngine, model: Any, words: Any, samples: Sequence[Sample], loop_rows: int, k: int
) -> tuple[Clock, Clock, float, float]:
    """Rate `samples` with the engine and the first of them with the loop, by turns.

    Returns both clocks, and of the sentence scores of the rows that both rated the rank correlation and how much of the
    best fifth is the same.
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
            ids = [text.ids for text in engine.texts.fit_all(prompt, unit) if not isinstance(text, str)]
            batches: list[int] = []
            start = time.perf_counter()
            rated = engine.rate([prompt], unit, lambda ratings, tokens, into=batches: into.append(ratings))[0]
            fast.add(time.perf_counter() - start, len(unit), int(rated.tokens.sum()))
            fast.computed += int(rated.tokens.sum()) - common_prefix(ids) * (len(unit) - len(batches))
            done.append(rated.logprob)
            _timed_loop(slow, by_loop[at], halves[1], model, words, labels, prompt, samples)
        by_engine[at] = np.concatenate(done)[:loop_rows]
        print(f"prompt {at + 1}: engine {fast} · loop {slow}", flush=True)
    ours, theirs = sentence_scores(by_engine), sentence_scores(by_loop)
    fifth = loop_rows // 5
    same = len({*np.argsort(-ours)[:fifth]} & {*np.argsort(-theirs)[:fifth]}) / fifth
    return fast, slow, spearman(ours, theirs), same


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
    parser.add_argument("--dtype", action="append", help="fp32 and auto where none is named")
    args = parser.parse_args()
    samples = read(args.data, args.limit)
    folder = resolve.resolve(args.model).path
    words = AutoTokenizer.from_pretrained(folder)
    device = engines_device.default_device()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    for dtype in args.dtype or ("fp32", "auto"):
        engine = hf_engine.load(folder, dtype=dtype, max_tokens=2048, batch_tokens=args.batch_tokens)
        prompt = prompts.packaged().first(1)[0]
        engine.rate([prompt], samples[: WARM_UP if device == "cpu" else UNIT], lambda ratings, tokens: None)
        loop(model, words, [0], prompt, samples[:WARM_UP])
        load = os.getloadavg()[0]
        fast, slow, agreement, same = compare(engine, model, words, samples, args.loop_rows, args.k)
        rate, base = fast.ratings / fast.seconds, slow.ratings / slow.seconds
        per_token = (fast.tokens / fast.seconds) / (slow.tokens / slow.seconds)
        limit, computed = matrix_limit(engine), fast.computed / fast.seconds
        print(f"engine {dict(engine.settings)}\nengine {fast}\nloop   {slow} (fp32)")
        print(f"ratio {rate / base:.2f} ({per_token:.2f} per token of text)")
        print(f"Spearman {agreement:.6f}, the same in the best fifth {same:.0%}, {args.loop_rows} rows")
        print(f"{computed:.0f} tokens computed/s, {computed / limit:.0%} of the limit ({limit:.0f})")
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, load before {load:.1f}")
        engine.close()


if __name__ == "__main__":
    main()
