"""Gradients of rows: time, memory and disk, many rows at once and one by one, and how far a projection is off.

    python benchmarks/gradients.py DATA [--model smollm2] [--limit 200] [--one-rows 20] [--rank 4] [--layers 4]
        [--dimensions 512] [--dtype fp32]

Of the data's last 8 rows, as examples of a target, the others' exact inner products are kept beside the projections:
both come of one backward pass. One by one is the same code in batches of one row; `all weights` is what `grand` reads.
Seconds are of the wall clock and, since other work may be going on, of the processor.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rate import read
from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.engines import memory
from selectit.engines.hf import gradients as hf_gradients
from selectit.models import resolve
from selectit.runs.files import write_table
from selectit.runs.sums import Place
from selectit.signals.arrays import Gradients
from selectit.signals.base import Stored
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest

EXAMPLES = 8


def measure(
    name: str, engine: hf_gradients.GradientEngine, request: GradientRequest, samples: Sequence[Sample]
) -> Gradients:
    """Read the samples' gradients, write them as a unit is written, and print a line of what it took."""
    memory.reset_peak()
    before, began, used = memory.used() or 0, time.perf_counter(), time.process_time()
    answer = request.ask(engine, samples, lambda *_: None)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    most = memory.accelerator_peak() or (memory.peak() or 0) - before
    table = request.table(samples, answer)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"
        write_table(path, table, Place("0" * 16, path.name))
        disk = path.stat().st_size / len(samples)
    tokens = sum(map(int, answer.tokens or ()))
    print(
        f"{name}: {len(samples)} rows, {tokens / len(samples):.0f} tokens each, {seconds:.1f} s, of a processor "
        f"{processor:.1f} s, {tokens / processor:.0f} tokens/s; {most / 2**20:.0f} MB, {disk:.0f} bytes a row",
        flush=True,
    )
    return request.arrays(Stored("", 0, table))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--one-rows", type=int, default=20)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--dtype", default="fp32")
    args = parser.parse_args()
    samples = [sample for sample in read(args.data, args.limit + EXAMPLES) if sample.response.strip()]
    samples, last = samples[:-EXAMPLES], samples[-EXAMPLES:]
    some = samples[:: max(len(samples) // args.one_rows, 1)][: args.one_rows]
    folder, text = resolve.resolve(args.model).path, loss_text("alpaca", both=False)
    adapter = GradientRequest(text, args.rank, args.layers, dimensions=args.dimensions, inner=True)
    adapter = adapter.towards([Example(each.instruction, each.response, each.input, "") for each in last])
    engine = hf_gradients.load(folder, dtype=args.dtype, max_tokens=2048)
    engine.gradients(adapter, samples[:2], lambda *_: None)  # the examples' gradients are computed once
    print(f"{engine.settings}, load before {os.getloadavg()[0]:.1f}")
    found = measure(f"rank {args.rank} on {args.layers} layers", engine, adapter, samples)
    report_error(found, measure("the examples", engine, adapter, last))
    measure("some of the rows together", engine, adapter, some)
    alone = hf_gradients.load(folder, dtype=args.dtype, max_tokens=2048, batch_tokens=1)
    alone.gradients(adapter, samples[:2], lambda *_: None)
    measure("the same one by one", alone, adapter, some)
    measure("all weights", engine, GradientRequest(text, rank=0), some)


def report_error(rows: Gradients, examples: Gradients) -> None:
    """Print how far the projected cosines of rows and examples are from the exact ones, and what was to be expected."""
    exact = rows.inner[:, 0] / rows.norm / examples.norm[:, 0]
    ours, theirs = (each.projected[:, 0].astype(np.float32) for each in (rows, examples))
    error = np.sqrt(((ours @ theirs.T - exact) ** 2).mean())
    bound = np.sqrt((1 + (exact**2).mean()) / ours.shape[1])
    spread = f"{exact.mean():.3f}, standard deviation {exact.std():.3f}"
    print(f"cosines with the examples: mean {spread}; error of the projection {error:.4f}, expected {bound:.4f}")


if __name__ == "__main__":
    main()
