"""A small reward model to try `reward` and `instruction-mining` with, and what it is worth.

    python benchmarks/reward_model.py DATA OUT [--pairs 240] [--held-out 60] [--skip 1000] [--seed 0]

Trains the last third of a packaged model's layers, with one output in place of the words, for one epoch with Bradley
and Terry's loss: the response of a row against a planted defect of it, one of the kinds of `selectit probe`. Prints the
share of pairs of other rows that the saved model ranks right, and the share that length alone does. Its rows are not
the first --skip, which benchmarks/methods.py reads. It is no paper's reward model: it has seen planted defects only,
and says nothing of better and worse good responses.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from rate import read
from selectit.data.records import Sample
from selectit.engines.hf import reward
from selectit.engines.texts import load_tokenizer
from selectit.models import resolve
from selectit.probing.defects import KINDS, ORIGINAL, has_response, plant

LONGEST = 200
"""Words of a response that is trained on: longer ones would take most of the time."""

Pair = tuple[Sample, Sample]


def pairs_of(samples: Sequence[Sample], seed: int) -> list[Pair]:
    """Each row's response, and one defect of it, of a kind drawn among those that fit the row."""
    defects: dict[int, list[Sample]] = defaultdict(list)
    for each in plant(samples, tuple(KINDS), seed):
        if each.kind != ORIGINAL:
            defects[each.of].append(Sample(each.of, 0, each.instruction, each.response))
    return [(sample, random.Random(f"{seed}/{sample.row}").choice(defects[sample.row])) for sample in samples]


def train(model: Any, words: Any, pairs: Sequence[Pair], batch: int, rate: float) -> None:
    """One epoch over the pairs as they stand, the rate falling to 0."""
    texts = reward.RewardEngine(model, words, {})  # the same texts as when rows are scored
    layers = model.model.layers
    for part in (model.model.embed_tokens, *layers[: len(layers) * 2 // 3]):
        part.requires_grad_(False)  # half the time
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    steps = -(-len(pairs) // batch)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    model.train()
    for step in range(steps):
        some = pairs[step * batch : (step + 1) * batch]
        ids = [texts._ids(sample) for side in zip(*some, strict=True) for sample in side]
        padded = words.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            good, bad = model(**padded).logits[:, 0].float().chunk(2)
        loss = -torch.nn.functional.logsigmoid(good - bad).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)


def right(better: Sequence[float], worse: Sequence[float]) -> float:
    """The share of pairs with more for the better one; a tie is half."""
    return sum((a > b) + (a == b) / 2 for a, b in zip(better, worse, strict=True)) / len(better)


def main() -> None:
    """Train, save and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--pairs", type=int, default=240)
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--skip", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=3e-5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    samples = read(args.data, args.skip + 3 * (args.pairs + args.held_out))[args.skip :]
    samples = [each for each in samples if has_response(each) and len(each.response.split()) <= LONGEST]
    training, held_out = samples[: args.pairs], samples[args.pairs : args.pairs + args.held_out]

    torch.manual_seed(args.seed)
    folder = resolve.resolve(args.model).path
    words = load_tokenizer(folder, False)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    if words.pad_token_id is None:
        words.pad_token = words.eos_token
    model.config.pad_token_id = words.pad_token_id
    begin = time.perf_counter()
    train(model, words, pairs_of(training, args.seed), args.batch, args.rate)
    print(f"{len(training)} pairs in {time.perf_counter() - begin:.0f} seconds")
    model.save_pretrained(args.out)
    words.save_pretrained(args.out)

    engine = reward.load(str(args.out), dtype="fp32", max_tokens=4096)
    sides = [list(side) for side in zip(*pairs_of(held_out, args.seed), strict=True)]
    good, bad = (engine.reward(side, lambda rows, tokens: None).tolist() for side in sides)
    print(f"of {len(held_out)} pairs of other rows ranked right: {right(good, bad):.2f}")
    lengths = [[len(sample.response) for sample in side] for side in sides]
    print(f"by length alone: {right(lengths[0], lengths[1]):.2f}")


if __name__ == "__main__":
    main()
