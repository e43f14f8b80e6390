"""Every method on the same real rows: what it costs, and how its choice differs from chance and from mere length.

    python benchmarks/methods.py DATA [--model smollm2] [--limit 300] [--judged 40] [--noisy 40] [--run DIR]
                                 [--reward-model FOLDER] [--only all|judged|tagged|noisy|rewarded …]
    python benchmarks/methods.py DATA --probe 50 [--model smollm2] [--k 3] [--run DIR]

Signals are collected once and shared, so the seconds are those of the signals that a method reads, at their mean rate.
Methods whose signals are dear on a CPU (a judge's or tagger's answers, T-SHIRT's 62 passes) run on the first --judged
and --noisy rows. `reward` and `instruction-mining` run with --reward-model: benchmarks/reward_model.py trains one, no
paper's. Not here: `alpagasus`, which needs ChatGPT, and `field`, which needs a score in the data. With --probe it says
instead how often each method that scores rows prefers an original of so many rows to planted defects of it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import selectit
from selectit.config.settings import Settings
from selectit.probing.verdicts import DETECTED
from selectit.selection.compare import Comparison

CHEAP = (
    "random",
    "full",
    "length",
    "length:unit=tokens",
    "lexical",
    "lexical:index=flesch",
    "instag-tfidf",
    "selectit",
    "selectit:level=token",
    "expected-rating",
    "perplexity:policy=low",
    "perplexity:policy=high",
    "perplexity:policy=middle",
    "uncertainty",
    "el2n",
    "ifd",
    "superfiltering",
    "kcenter",
    "facility-location",
    "dpp",
    "herding",
    "kmeans",
    "knn",
    "qdit:quality=selectit",
    "deita:complexity=ifd;quality=selectit",
    "lift:quality=selectit",
)
SETS = ("full", "instag-tfidf", "kcenter", "facility-location", "dpp", "herding", "kmeans")
"""These choose sets, as do those that read other scores; a set has no score to probe."""
JUDGED = ("random", "alpagasus-local")
TAGGED = ("random", "instag:min_count=1", "instag-complexity:min_count=1")
"""Of so few rows no tag is in 20, the default."""
NOISY = ("random", "tshirt")
REWARDED = ("random", "reward", "instruction-mining")


def measure(data: Path, methods: Sequence[str], settings: Settings) -> Comparison:
    """Collect what the methods read, and compare them."""
    assert settings.run is not None
    for method in methods:
        print(f"collecting for {method}", flush=True)
        selectit.rate(data, Settings(**_fields(settings), combine=f"{method},random", combine_by="union"))
    return selectit.compare(settings.run, list(methods), Settings(**_fields(settings, reads=False), keep="20%"))


def _fields(settings: Settings, reads: bool = True) -> dict[str, object]:
    names = ("run", "model", "judge", "reward_model", "layout", *(("limit",) if reads else ()))
    return {name: getattr(settings, name) for name in names}


def rows(comparison: Comparison, methods: Sequence[str]) -> list[str]:
    """Lines of a Markdown table; `methods` are named as they were asked for."""
    against = {pair.b: pair for pair in comparison.pairs if pair.a == comparison.methods[0].name}
    lines = []
    for asked, facts in zip(methods, comparison.methods, strict=True):
        pair = against.get(facts.name)
        overlap = "" if pair is None or pair.jaccard is None else f"{pair.jaccard:.2f} ({pair.chance:.2f})"
        seconds = "" if facts.seconds is None else f"{facts.seconds:.0f}"
        length = "" if facts.length_correlation is None else f"{facts.length_correlation:+.2f}"
        cells = (asked, comparison.rows, facts.passes_per_row, seconds, facts.kept, facts.unscored, overlap, length)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + f" | {facts.mean_words:.0f} |")
    return lines


def probed(data: Path, settings: Settings, sample: int) -> list[str]:
    """A Markdown table of what the scores tell apart: mean over the kinds of defects."""
    methods = [method for method in CHEAP if method not in SETS and "quality=" not in method]
    lines = ["| method | AUROC | pairs won (95 %) | told apart | no score |", "|---|---|---|---|---|"]
    for asked, found in zip(methods, selectit.probe(data, settings, methods, sample=sample).results, strict=True):
        auroc = sum(kind.auroc.value for kind in found.kinds) / len(found.kinds)
        told = sum(kind.verdict == DETECTED for kind in found.kinds)
        wins = f"{found.wins.value:.2f} ({found.wins.low:.2f} to {found.wins.high:.2f})" if found.wins else "-"
        lines.append(f"| {asked} | {auroc:.2f} | {wins} | {told} of {len(found.kinds)} | {found.unscored} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--judged", type=int, default=40)
    parser.add_argument("--noisy", type=int, default=40)
    parser.add_argument("--reward-model", help="a folder: measure what needs a reward model too")
    parser.add_argument("--only", nargs="+", choices=("all", "judged", "tagged", "noisy", "rewarded"))
    parser.add_argument("--probe", type=int, help="rows to plant defects in")
    parser.add_argument("--k", type=int, default=3, help="prompts of the probe")
    parser.add_argument("--run", type=Path, help="keep the run directories here, and go on with them")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = args.run or Path(folder)
        if args.probe is not None:
            settings = Settings(run=str(base / "probed"), model=(args.model,), k=args.k)
            print("\n".join(probed(args.data, settings, args.probe)))
            return
        print(f"load before {os.getloadavg()[0]:.1f}")
        lines = []
        groups = {
            "all": (CHEAP, args.limit),
            "judged": (JUDGED, args.judged),
            "tagged": (TAGGED, args.judged),
            "noisy": (NOISY, args.noisy),
            "rewarded": (REWARDED, args.limit),
        }
        for name in args.only or [each for each in groups if each != "rewarded" or args.reward_model]:
            methods, limit = groups[name]
            settings = Settings(
                run=str(base / name),
                limit=limit,
                model=(args.model,),
                judge=args.model,
                reward_model=args.reward_model,
                layout="prompt-first",
            )
            lines += rows(measure(args.data, methods, settings), methods)
        print("| method | rows | passes | seconds | kept | no score | with random (chance) | length | words |")
        print("|---|---|---|---|---|---|---|---|---|")
        print("\n".join(lines))
        print(f"load after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
