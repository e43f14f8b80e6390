"""Losses of responses with and without their instruction: the engine against a loop of single passes.

    python benchmarks/losses.py DATA [--model smollm2] [--limit 200] [--loop-rows 40] [--lm-eval B] [--dtype fp32]

The loop, as the published codes of IFD but with the own loss of the model: batch 1, all logits, two passes a row, in
the same dtype. They take turns in pieces, so that a machine which gets slower or faster treats them alike. With
--lm-eval also against lm-evaluation-harness's loglikelihood of all rows in batches of that size (pip install lm_eval),
and joined tokenising.
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
from transformers import AutoModelForCausalLM, AutoTokenizer

from rate import read
from selectit.data.records import Sample
from selectit.engines import device
from selectit.engines.hf import engine as hf_engine
from selectit.models import resolve
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import LossRequest


def loop(model: Any, words: Any, text: LossRequest, samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Mean losses of each response after its instruction and alone."""
    found = []
    for sample in samples:
        response = words(sample.response, add_special_tokens=False)["input_ids"]
        pair = []
        for prefix in (text.before(sample), text.alone):
            before = words(prefix)["input_ids"]
            ids = torch.tensor([before + response])
            labels = ids.clone()
            labels[0, : len(before)] = -100
            with torch.inference_mode():
                pair.append(float(model(ids, labels=labels).loss) if response else float("nan"))
        found.append((pair[0], pair[1]))
    return found


def by_lm_eval(
    model: Any, words: Any, text: LossRequest, samples: Sequence[Sample], batch: int
) -> list[tuple[float, float]]:
    """Sums of the losses of each response after its instruction and alone, by lm-evaluation-harness."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    judge = HFLM(pretrained=model, tokenizer=words, batch_size=batch, max_length=2048, device="cpu")
    pairs = [(prefix, sample.response) for sample in samples for prefix in (text.before(sample), text.alone)]
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index) for index, pair in enumerate(pairs)
    ]
    sums = [-loglikelihood for loglikelihood, _ in judge.loglikelihood(requests, disable_tqdm=True)]
    return list(zip(sums[::2], sums[1::2], strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--loop-rows", type=int, default=40)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--lm-eval", type=int, metavar="BATCH")
    parser.add_argument("--dtype", default="fp32", help="of engine, loop and lm-eval")
    args = parser.parse_args()
    samples = [sample for sample in read(args.data, args.limit) if sample.response.strip()]
    folder, text = resolve.resolve(args.model).path, loss_text("alpaca")
    words = AutoTokenizer.from_pretrained(folder)
    model = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=device.DTYPES[args.dtype]).to(device.default_device()).eval()
    )
    engine = hf_engine.load(folder, dtype=args.dtype, max_tokens=2048)
    engine.losses(text, samples[:4], lambda *_: None)
    loop(model, words, text, samples[:4])
    print(f"load before {os.getloadavg()[0]:.1f}")
    fast = slow = 0.0
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    step = -(-len(samples) // args.turns)
    loop_step = -(-args.loop_rows // args.turns)
    for turn in range(args.turns):
        began = time.perf_counter()
        for each in engine.losses(text, samples[turn * step : (turn + 1) * step], lambda *_: None):
            assert not isinstance(each, str), each
            ours.append((float(each.given[0].mean()), float(np.nanmean(each.alone[0]))))
        fast += time.perf_counter() - began
        began = time.perf_counter()
        theirs += loop(model, words, text, samples[turn * loop_step : (turn + 1) * loop_step])
        slow += time.perf_counter() - began
    print(f"engine {len(samples) / fast:.2f} rows/s, loop {len(theirs) / slow:.2f} rows/s")
    print(f"ratio {len(samples) / fast * slow / len(theirs):.2f}")
    difference = np.abs(np.array(ours[: len(theirs)]) - np.array(theirs)).max()
    print(f"largest difference of a mean loss {difference:.1e}")
    if args.lm_eval:
        joint = loss_text("alpaca", "joint")
        began = time.perf_counter()
        sums = by_lm_eval(model, words, joint, samples, args.lm_eval)
        harness = time.perf_counter() - began
        began = time.perf_counter()
        own = engine.losses(joint, samples, lambda *_: None)
        ratio = harness / (time.perf_counter() - began)
        found = [(each.given[0].sum(), np.nansum(each.alone[0])) for each in own if not isinstance(each, str)]
        apart = np.abs(np.array(found) / np.array(sums) - 1).max(axis=1)
        print(
            f"lm-eval {len(samples) / harness:.2f} rows/s in batches of {args.lm_eval}, engine {ratio:.2f} times that"
        )
        # Where a token spans the boundary lm-eval reads the prompt's own last token instead of it.
        print(
            f"relative difference of a response's loss: above 1e-4 in {(apart > 1e-4).sum()} rows, in the others up to"
        )
        print(f"{apart[apart <= 1e-4].max():.1e}")


if __name__ == "__main__":
    main()
