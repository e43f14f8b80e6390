"""`selectit eval`: how good models are."""

from __future__ import annotations

from typing import Any

import click
import cloup

from selectit.cli.options import JSONParameter, options
from selectit.cli.printing import print_json, say
from selectit.cli.progress import notes


@cloup.command("eval")
@click.argument("models", nargs=-1, metavar="MODEL…")
@click.option("--suite", metavar="NAME", help="paper, full, quick or translation [quick].")
@click.option("--task", multiple=True, metavar="NAME", help="A benchmark, a part of one, or any task of lm-eval.")
@click.option("--data-dir", metavar="DIR", help="The benchmarks' files, where there is no hub.")
@click.option("--limit", type=int, metavar="N", help="At most N items of each part, drawn with a seed.")
@click.option("--heldout", multiple=True, metavar="FILE", help="Also the losses of this data set's responses.")
@options("format", "map", "roles")
@click.option("--template", metavar="NAME", help="Before a held-out response: plain, alpaca or chat [plain].")
@click.option("--chat", is_flag=True, default=None, help="Ask through the model's chat template.")
@click.option("--engine", metavar="NAME", help="What runs the model: hf, vllm, server [hf].")
@click.option(
    "--engine-param", type=JSONParameter(), multiple=True, help="An argument of lm-eval's model class; repeatable."
)
@options("base_url", "tokenizer", "dtype")
@click.option("--batch-size", type=int, metavar="N", help="Texts at once, or requests to a server [8].")
@options("trust_remote_code", "accept_terms")
@click.option("--allow-code-execution", is_flag=True, default=None, help="Let HumanEval run what the model wrote.")
@click.option("--unsandboxed", is_flag=True, default=None, help="And without a sandbox (bubblewrap).")
@click.option("--judge", metavar="NAME", help="The model that compares the answers of AlpacaEval.")
@click.option("--judge-url", metavar="URL", help="The judge's server; without it the judge is loaded here.")
@click.option("--out", metavar="FILE", help="The results [selectit-evals/<model>/<suite>.json].")
@options("json", "quiet")
def command(models: tuple[str, ...], as_json: bool, quiet: bool, **given: Any) -> None:
    """Evaluate each MODEL: packaged name, hub id or folder. What is done already is not run again.

    Where no suite is named, --task and --heldout alone say what is run.
    """
    from selectit.evaluation.settings import EvalSettings

    chosen = {name: value for name, value in given.items() if value is not None}
    settings = EvalSettings(**{**chosen, "engine_param": dict(chosen["engine_param"])})
    from selectit.evaluation.evaluate import evaluate
    from selectit.evaluation.results import result_lines, to_plain

    with notes(quiet):
        results = evaluate(models, settings)
    if as_json:
        print_json([to_plain(each) for each in results])
    else:
        say("\n\n".join("\n".join(result_lines(each)) for each in results))
