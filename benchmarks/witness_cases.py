"""What the witness has the program do: one function a group, each in an empty folder."""

# ruff: noqa: E501

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import selectit
from selectit.cli.main import main
from witness_data import BAD, LAYOUTS, MAPPED, OWN, SHAREGPT, TALKS, put, rows
from witness_keeping import Witness, files, in_tests, plain
from witness_wrong import messages, mistakes


def reading(say: Witness) -> None:
    """Every layout and every kind of file that docs/data.md names."""
    for layout, records in LAYOUTS.items():
        put(f"{layout}.jsonl", records)
        for turns in ("last", "each", "first"):
            say(
                f"select {layout}.jsonl --engine fake --model m --k 2 --turns {turns} --run {layout}-{turns} --keep 1 --out x-{layout}-{turns}.jsonl --rest rest-{layout}-{turns}.jsonl"
            )
        say(f"show {layout}-last\nshow {layout}-each --row 0\nshow {layout}-last --row 1 --json")
        say(
            f"select {layout}.jsonl --format {layout} --method length --run f-{layout} --keep 1 --out y-{layout}.jsonl --with-scores"
        )
    put("mapped.json", MAPPED)
    say("""select mapped.json --map instruction=q.text,input=context,response=answers.0 --method length --keep 2
           select mapped.json --map instruction=q.text,response=answers.1 --method length --keep 2 --out other.json
           select mapped.json --method length
           select mapped.json --map instruction=q.txt,response=answers.0 --method length""")
    alpaca = [*LAYOUTS["alpaca"], {"instruction": "ä", "output": "1e2", "n": 1}]
    for name in ("a.json", "b.jsonl", "c.json.gz", "d.jsonl.gz", "e.json.zst", "f.jsonl.zst"):
        put(name, alpaca)
        say(f"select {name} --method length --keep 3 --rest rest-{name} --run r-{name[0]}\nshow r-{name[0]}")
    put("flat.json", alpaca, indent=None)
    put("bom.json", b"\xef\xbb\xbf" + json.dumps(alpaca).encode())
    put(
        "numbers.jsonl", '{"instruction": "a", "n": 1.50e3, "output": "b b"}\n\n{"output": "c",   "instruction": "d"}\n'
    )
    table = pa.Table.from_pylist(alpaca).append_column("when", pa.array(range(len(alpaca)), pa.timestamp("ns")))
    pq.write_table(table, "t.parquet")
    Path("arrow").mkdir()
    with pa.OSFile("arrow/data-00000-of-00001.arrow", "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    put("arrow/state.json", '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": null}')
    put("arrow/dataset_info.json", "{}")
    shutil.copytree("arrow", "splits/train")
    shutil.copytree("arrow", "splits/test")
    put("splits/dataset_dict.json", '{"splits": ["train", "test"]}')
    for name in ("folder/b.jsonl", "folder/a.json", "folder/c.jsonl.gz"):
        put(name, [{**row, "n": name} for row in alpaca[:3]])
    pq.write_table(table, "tables.parquet")
    for data in ("flat.json", "bom.json", "numbers.jsonl", "t.parquet", "arrow", "splits", "folder"):
        name = Path(data).stem
        say(f"select {data} --method length --keep 2 --run r-{name} --rest rest-{name}\nshow r-{name} --json")
        say(f"select {data} --method length --keep 2 --run r-{name} --with-scores --order source --out scored-{data}")
    say("select splits --split test --method length --keep 1 --out test\nselect splits --split no --method length")
    say("select - --method length --keep 2 --run std", Path("a.json").read_bytes())
    say("select - --method length --keep 2 --run std --out std.jsonl --json", Path("a.json").read_bytes())
    say("select b.jsonl --method length --keep 2 --limit 3 --out -\nselect t.parquet --method length --keep 1 --out -")
    put("bad.jsonl", BAD)
    say("""select bad.jsonl --method length
           select bad.jsonl --method length --bad-rows skip --keep 1 --run bad
           show bad
           select bad.jsonl --method length --bad-rows skip --limit 3 --keep 1 --run bad2 --out bad2.jsonl""")


def helps(say: Witness) -> None:
    """What every verb offers."""
    say.run("", lambda: main([]))
    say("--help\n--version\nmethods\nmethods --json\nmodels fetch --help")
    for verb in ("select plan rate score probe tune-prompts expand compare export train show eval experiment "
                 "fit-rule methods models").split():  # fmt: skip
        say(f"{verb} --help")


# Choosing

PARAMETERS = {
    "field": "--param name=score",
    "fixed": "--param file=ids.txt",
    "instag": "--param min_count=1",
    "instag-complexity": "--param min_count=1",
    "tshirt": "--param copies=3",
    "kmeans": "--param clusters=5",
    "length": "--param unit=tokens",
}
"""Of methods that need some, or are quicker or more telling with them."""
ASKING = "--engine fake --model m --encoder e --judge j --reward-model r"


def every_method(say: Witness, data: str, asking: str, unit_size: int) -> None:
    """Choose by each method in one run directory, and show what it made of the rows."""
    listed = io.StringIO()
    with contextlib.redirect_stdout(listed):
        main(["methods", "--json"])
    for name in json.loads(listed.getvalue()):
        say(f"""select {data} --run run {asking} --unit-size {unit_size} --method {name} {PARAMETERS.get(name, "")} --keep 12 --allow-fewer --out {name}.json
                score --run run {asking} --method {name} {PARAMETERS.get(name, "")} --json""")
    say("show run\nshow run --json\nshow run --row 3\nshow run --row 7 --json\nshow run --row 0")


def fake(say: Witness) -> None:
    """Every method on made-up signals."""
    put("data.json", rows())
    put("ids.txt", "3\n1\n59\n17\n")
    every_method(say, "data.json", ASKING, 16)
    for more in (
        "perplexity --param policy=high", "perplexity --param policy=middle --param span=whole", "uncertainty --param measure=margin",
        "random --param balance=source --seed 3", "random --param exclude=ids.txt", "length --param order=shortest",
        "lexical --param index=flesch", "calibrated --param by=batch", "qdit --param quality=selectit --alpha 0.2",
        "lift --param quality=field --param share=0.5", "dpp --param quality=length --param beta=0.1", "knn --param k=2",
        "deita --param complexity=length --param quality=stored:field-score", "expected-rating --alpha 0.5", "kcenter --seed 5",
        "instruction-mining --param rule=own --param indicators=length,knn --param coefficients=1,-0.1,2", "fixed --param file=length.json",
    ):  # fmt: skip
        say(
            f"select data.json --run run {ASKING} --unit-size 16 --method {more} --keep 9 --allow-fewer --force --out more.json"
        )
    say(
        "compare --run run --methods selectit,length,random,ifd,knn,kcenter,full\ncompare --run run --methods length,reward --json"
    )


def choosing(say: Witness) -> None:
    """The options of select, rate, score and what they store."""
    put("data.json", rows())
    put("own.py", OWN)
    put("plain.txt", "How good is it, from 1 to 5?\nRate it from 1 (bad) to 5 (good).\n")
    put(
        "three.toml",
        'prompts = ["Is it so?", "Or so?"]\nlabels = ["no", "maybe", "yes"]\ntemplate = "{instruction} {response} {prompt}"\n',
    )
    put(
        "c.toml",
        'engine = "fake"\nmodel = "m"\nk = 3\nkeep = "10%"\nrun = "run"\nmin-prompts = 2\nwith_scores = true\n[param]\n',
    )
    put("unsure.toml", 'method = "random"\nseed = 4\n[param]\nbalance = "source"\n')
    fresh = "--engine fake --model m --run run"
    for more in (
        "", "--alpha 0.6", "--level token", "--profile official", "--profile official --level token", "--k 3 --keep 0.3",
        "--min-score 0.8", "--min-score 0.8 --keep 50% --allow-fewer", "--order source", "--with-scores", "--json", "--quiet",
        "--name mine --rest rest.json", "--name mine --rest rest.json", "--name mine --keep 3", "--name mine --keep 3 --force",
        "--combine selectit:0.7,length:0.3", "--combine selectit,length --combine-by union", "--combine 'selectit:alpha=0.4;k=3:2,knn'"
        " --encoder e", "--combine selectit,length,kcenter --combine-by intersection --keep 40 --encoder e --allow-fewer",
        "--model n", "--model n --level model --weights 1,3", "--model n --model o --level model-token",
        "--model n --model o --profile official", "--max-tokens 90 --min-prompts 3", "--max-tokens 90 --retry-errors --overflow refuse",
        "--method own.py:Brevity --param least=9", "--method ./own.py:Every --keep 5", "--method own.py:Stops", "--method own.py:Breaks", "--config c.toml", "--config unsure.toml --keep 5",
        "--method full", "--keep 60",
    ):  # fmt: skip
        say(
            f"select data.json {fresh} {more} --out {'-' if more == '--quiet' else 'out.json'} {'' if 'mine' in more else '--force'}"
        )
    for more in (
        "--chat", "--layout sample-first", "--labels 1,2,3", "--prompts aspects --k 3", "--prompts yes-no --k 1",
        "--prompts plain.txt --k 2", "--prompts three.toml --k 2", "--prompts three.toml --k 2 --chat --layout sample-first", "",
    ):  # fmt: skip
        say(f"select data.json --engine fake --model m --run asked {more} --out out.json --force")
    say("""show asked
           select data.json --engine fake --model m --run run --alpha 0.7 --out out.json
           select data.json --engine fake
           select data.json --engine fake
           select --run run --model m --engine fake --max-tokens 4096 --alpha 0.9 --keep 7 --out stored.json --rest stored-rest.json
           select --run run --model m --alpha 0.9 --keep 7 --out stored.json
           score --run run --model m --engine fake --max-tokens 4096 --level token --alpha 0.1
           score --run run --model m --engine fake --max-tokens 4096 --combine selectit,length --json
           rate --run run --model m --engine fake --max-tokens 4096 --k 7
           rate data.json --engine fake --model m --run parts --unit-size 8 --share 0/3
           show parts
           select --run parts
           score --run parts
           rate --run parts --share 2/3 --quiet
           rate data.json --run parts --model m
           select --run parts --keep 5 --out parts.json
           rate data.json --engine fake --model m --run collected --combine selectit:k=1,ifd,knn --encoder e
           rate data.json --engine fake --run collected --method alpagasus-local --judge j
           show collected
           rate data.json --engine fake --model m --run casc --k 4 --cascade 50% --unit-size 16
           select data.json --engine fake --model m --run casc --k 4 --cascade 50% --keep 10% --rest casc-rest.json --out casc.json
           select data.json --engine fake --model m --run casc2 --cascade 30 --cascade-model n --cascade-k 2 --keep 5 --out c2.json
           select --run casc --cascade 50% --k 4 --alpha 0.9 --keep 5 --out casc3.json
           show casc
           show casc --row 3
           show casc2 --json
           export casc --to trl --selection selectit-sentence-paper-k4-a0.2-cascade-50pct-10pct
           show run
           show run --json
           show run --row 4
           show run --row 5 --json""")


def golden(say: Witness) -> None:
    """Scores of the published code's probabilities, which are put in the place of made-up ones."""
    folder = in_tests("official_scores.json").parent
    shutil.copy(folder / "rows.json", "rows.json")
    shutil.copy(folder / "prompts.txt", "prompts.txt")
    stored = json.loads((folder / "official_scores.json").read_text())
    texts = Path("prompts.txt").read_text().splitlines()
    say("rate rows.json --engine fake --prompts prompts.txt --run run --model smollm2 --model gemma --model third")
    for rater in Path("run/ratings").iterdir():
        name = json.loads((rater / "manifest.json").read_text())["model"]
        probs = pa.array(stored["gemma" if name == "gemma" else "smollm2"]["sentence"]["probs"])
        for prompt in rater.glob("prompt-*"):
            at = texts.index(json.loads((prompt / "manifest.json").read_text())["prompt"])
            part = prompt / "part-00000.parquet"
            table = pq.read_table(part)
            found = pa.compute.ln(pa.array([row[at] for row in probs.to_pylist()]).flatten()).cast("f4")
            kind = table.schema.field("logprob")
            values = pa.FixedSizeListArray.from_arrays(found, type=kind.type)
            pq.write_table(table.set_column(table.schema.get_field_index("logprob"), kind, values), part)
    say.seen = files()
    for profile in ("paper", "official"):
        for model in ("smollm2", "gemma"):
            for level in ("token", "sentence", "model", "model-token"):
                say(
                    f"select --run run --prompts prompts.txt --model {model} --profile {profile} --level {level} --keep 25% --out {profile}-{model}-{level}.json"
                )
        for level in ("model", "model-token"):
            for more in ("", "--weights 7,13,70", "--alpha 0.5"):
                say(
                    f"select --run run --prompts prompts.txt --model smollm2 --model gemma --model third --profile {profile} --level {level} --keep 25% --out {profile}-{level}.json --force {more}"
                )
    say("show run --row 2\nshow run")


# The other verbs, with numbers made up


def probing(say: Witness) -> None:
    """Probing, tuning prompts, planning, expanding."""
    put("data.json", rows(90))
    fake = "--engine fake --model m --run run"
    say(f"""probe data.json {fake} --k 2 --sample 30
            probe data.json {fake} --k 2 --sample 30 --methods selectit,length:unit=words
            probe data.json {fake} --k 2 --sample 30 --methods expected-rating,ifd --json
            probe data.json {fake} --model n --k 2 --sample 30 --prompts default --prompts aspects
            probe data.json {fake} --k 2 --labelled source=a --methods selectit,length
            probe data.json {fake} --k 2 --labelled score>=1.5 --sample 40 --json
            probe data.json {fake} --k 2 --sample 24 --sample-seed 3 --quiet
            show run
            show run --json
            tune-prompts data.json {fake} --sample 40 --k 3 --out tuned.toml
            tune-prompts data.json {fake} --sample 40 --k 3 --out tuned.toml
            tune-prompts data.json {fake} --sample 40 --k 2 --out tuned2.toml --json
            select --run run/probes/planted-40-s0/run --prompts tuned.toml --k 3 --out x.jsonl
            probe --run run --sample 30
            plan data.json --engine fake --sample 8 --proxy gemma3-270m --run planned
            plan data.json --engine fake --model m --model n --sample 8 --layout sample-first --run planned --unit-size 8
            rate data.json --engine fake --run planned --quiet
            plan data.json --engine fake --run planned
            plan --run planned --engine fake --k 7 --json --quiet
            expand data.json {fake} --sample 10 --out longer.json
            expand data.json {fake} --sample 10 --styles depth,reasoning --sample-seed 1 --out longer2.json --json
            expand data.json {fake} --sample 10 --out - --quiet
            select longer.json --engine fake --method lift --param quality=random --param share=0.5 --keep 6 --run lifted""")
    put("talks.jsonl", TALKS)
    put("lima.jsonl", LAYOUTS["lima"])
    say("""expand talks.jsonl --engine fake --model m --run talks
           expand lima.jsonl --engine fake --model m --run lima --styles breadth
           show talks""")


def exports(say: Witness) -> None:
    """Every target, for rows of every layout."""
    say_rows = {"alpaca": rows(20), "messages": TALKS, "sharegpt": SHAREGPT, "plain": TALKS[5:] * 2}
    pq.write_table(pa.Table.from_pylist(rows(20)), "table.parquet")
    for name, records in say_rows.items():
        put(f"{name}.jsonl", records)
    for data in (*(f"{name}.jsonl" for name in say_rows), "table.parquet"):
        name = Path(data).stem
        say(
            f"select {data} --method length --run {name} --keep 50% --name chosen --out {name}-chosen{Path(data).suffix}"
        )
        for to in ("trl", "llama-factory", "axolotl", "openai", "hf-dataset", "parquet"):
            say(f"""export {name} --to {to}
                    export {name} --to {to} --out {name}-{to}-all --selection all --bad-rows skip --licence cc-by-nc-4.0
                    export {name} --to {to} --out {name}-{to}-scores --with-scores --bad-rows skip --json""")
    say("""export alpaca --to trl --selection all
           export alpaca --to trl --selection all --force
           export alpaca --to axolotl --out alpaca.trl --force
           export plain --to llama-factory --quiet""")
    put("two.json", rows(20))
    say("""select two.json --engine fake --model m --model n --run two --keep 50%
           export two --to hf-dataset --licence "see the page"
           select two.json --engine fake --run comb --combine selectit,length --keep 50% --out comb.json
           export comb --to parquet""")


def python(say: Witness) -> None:
    """The same through the functions of the package."""
    put("data.json", rows(24))
    settings = selectit.Settings(engine="fake", model="m", run="run", k=2, keep="25%")
    verbs: dict[str, Callable[[], Any]] = {
        "rate": lambda: selectit.rate("data.json", settings),
        "select": lambda: selectit.select("data.json", settings),
        "select again": lambda: selectit.select(
            None, selectit.Settings(run="run", keep=3, k=2, alpha=0.9, out="b.json")
        ),
        "score": lambda: selectit.score("run", selectit.Settings(k=2, level="token")),
        "compare": lambda: selectit.compare("run", ["selectit:k=2", "length"], settings),
        "show": lambda: selectit.show("run", 3),
        "probe": lambda: selectit.probe("data.json", settings, ["selectit", "length"], sample=20),
        "expand": lambda: selectit.expand("data.json", settings, ["depth"], sample=4),
        "export": lambda: selectit.export("run", "trl", selection="all"),
        "plan": lambda: selectit.plan("data.json", settings, sample=4),
        "tune_prompts": lambda: selectit.tune_prompts("data.json", "t.toml", settings, 2, 24),
        "Settings": lambda: [selectit.Settings(), selectit.Settings(model="a", weights=2, labels=["x", "y"])],
        "Settings(k=0)": lambda: selectit.Settings(k=0),
        "Settings(k='x')": lambda: selectit.Settings(k="x"),
        "Settings(kk=1)": lambda: selectit.Settings(kk=1),
        "Recipe": lambda: selectit.Recipe(),
        "EvalSettings": lambda: selectit.EvalSettings(),
        "names": lambda: sorted(selectit.__all__),
    }
    for name, call in verbs.items():
        say.run(name, lambda call=call: print(json.dumps(_told(call()), indent=1, ensure_ascii=False, default=plain)))


def _told(value: Any) -> Any:
    """A result as plain values, by the names of its fields."""
    if dataclasses.is_dataclass(value):
        return {field.name: _told(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _told(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value


def served(say: Witness) -> None:
    """Ratings and answers of the tests' server."""
    _models("llama")
    import stub_server

    put("data.json", rows(16))
    with stub_server.serving() as stub:
        stub.models = ["served", "judge"]
        ask = f"--engine server --base-url {stub.url} --model served --run run --concurrency 1"
        stub.reply = lambda text: f"{len(text) % 6 / 2}\nbecause"
        say(f"""select data.json {ask} --tokenizer models/llama --keep 3
                rate data.json {ask} --tokenizer models/llama --k 6
                select data.json {ask} --tokenizer models/llama --method alpagasus-local --judge judge --keep 3 --out judged.json
                select data.json --engine server --base-url {stub.url} --model none --run none""")
        stub.reply = lambda text: json.dumps([{"tag": f"t{len(text) % 5}"}, {"tag": f"u{len(text) % 3}"}])
        say(f"""select data.json {ask} --method instag --param min_count=1 --judge judge --keep 5 --out tagged.json --allow-fewer
                select data.json {ask} --method instag-complexity --param min_count=1 --judge judge --keep 5 --out complex.json --allow-fewer
                expand data.json {ask} --styles depth --sample 3""")
        stub.ids = "ignored"
        say(
            f"rate data.json {ask} --k 2 --run top\nrate data.json {ask} --k 2 --run top --missing-label floor\nshow top"
        )
    say("show run\nshow run --row 2\nselect --run run --keep 5 --out more.json\nrate --run run --k 9")


# Real models


def _models(*kinds: str) -> None:
    """Tiny models in the folder models/: 'llama', 'chat', and 'reward', which has one output."""
    for name in ("tiny.py", "stub_server.py"):
        if (place := str(in_tests(name).parent)) not in sys.path:
            sys.path.insert(0, place)
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    import tiny

    torch.set_num_threads(1)
    for kind in kinds:
        folder = Path("models") / kind
        folder.parent.mkdir(exist_ok=True)
        if kind == "reward":
            words = tiny.tokenizer()
            words.pad_token = words.convert_ids_to_tokens(0)
            torch.manual_seed(0)
            shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
            heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.2, "num_labels": 1}
            config = LlamaConfig(**shape, **heads, pad_token_id=words.pad_token_id)
            LlamaForSequenceClassification(config).save_pretrained(folder)
            words.save_pretrained(folder)
        else:
            (tiny.build_chat if kind == "chat" else tiny.build)(folder)


SHORT = [{**row, "instruction": row["instruction"][:60], "input": "", "output": row["output"][:80]} for row in rows()]
TINY = "--model models/llama --encoder models/llama --reward-model models/reward --dtype fp32"


def real(say: Witness) -> None:
    """Every method on the signals of tiny models; alpagasus and what reads tags make little of their answers."""
    _models("llama", "chat", "reward")
    put("data.json", SHORT)
    put("ids.txt", "3\n1\n59\n17\n")
    every_method(say, "data.json", f"{TINY} --judge models/llama", 32)
    few = "data.json --limit 12 --dtype fp32 --keep 3"
    say(f"""select {few} --model models/chat --chat --k 2 --run chat --out chat.json
            select {few} --model models/llama --layout sample-first --run sample-first --out sample-first.json
            select {few} --model models/llama --max-tokens 100 --k 2 --run cut --out cut.json
            select {few} --model models/llama --max-tokens 100 --overflow refuse --k 2 --run refused --out refused.json --allow-fewer
            select {few} --model models/llama --labels 1,22 --run labels --out labels.json
            select {few} --encoder models/llama --pooling last --method knn --run last --out last.json
            select {few} --model models/llama --encoder models/chat --reward-model models/llama --method reward --run no
            plan {few.replace("--keep 3", "")} --model models/llama --sample 4 --run planned
            rate data.json --limit 24 --model models/llama --dtype fp32 --unit-size 8 --share 0/2 --run parts
            probe data.json --model models/llama --dtype fp32 --k 1 --sample 20 --run probe
            expand {few.replace("--keep 3", "")} --model models/llama --sample 2 --max-new-tokens 8 --styles depth --run wider""")


def demo(say: Witness) -> None:
    """The packaged model on the first rows of the example."""
    put("demo.json", rows(24))
    say("""select demo.json --dtype fp32 --run run --out best.json
           show run
           show run --row 3
           select demo.json --dtype fp32 --model smollm2 --run run --method ifd --keep 5 --out ifd.json
           select demo.json --limit 4 --dtype fp32 --run four --layout sample-first --k 2 --keep 2 --out four.json""")


SMALL = """models = ["models/chat"]
budgets = ["25%"]
seeds = [{seeds}]
recipe = "small"
{more}
[recipe_changes]
steps = 2
batch_size = 4
max_tokens = 64
learning_rate = 0.01
[settings]
engine = "fake"
[evaluation]
heldout = ["heldout.json"]
[[choices]]
method = "random"
"""
WHOLE = """[[choices]]
method = "full"
seeds = [0]
[[choices]]
method = "selectit:k=2"
name = "SelectIT"
[[choices]]
method = "full"
data = "lima.jsonl"
"""


def experiments(say: Witness) -> None:
    """A whole experiment, one of which a rule is fitted, a training and an evaluation, all with a tiny model."""
    _models("chat")
    words = [
        {"instruction": f"question {'x' * (n % 7)} {n}", "output": " ".join(["word"] * (2 + n * n % 11))}
        for n in range(24)
    ]
    put("data.json", words)
    put("heldout.json", [words[3], *[{"instruction": "another one", "output": "word word word"}] * 3])
    put("lima.jsonl", [{"conversations": [f"another question {n}", f"its answer {n}"]} for n in range(4)])
    put("whole.toml", SMALL.format(seeds="0, 1", more="") + WHOLE)
    put("rule.toml", SMALL.format(seeds="0, 1, 2, 3, 4", more="base = false"))
    small = "--model models/chat --recipe small --recipe-param dtype=fp32 --recipe-param steps=2 --recipe-param max_tokens=64"
    rule = "fit-rule rule.toml --data data.json --out rule"
    say(f"""select data.json --method length --keep 8 --run run --name eight
            train run {small} --out tuned --seed 3
            train run {small} --out tuned --seed 3 --json
            train run {small} --out tuned --seed 4
            train run {small} --recipe-param lora=2
            export run --to trl
            eval models/chat tuned --heldout heldout.json --dtype fp32 --template chat
            eval models/chat --heldout heldout.json --dtype fp32 --json
            eval models/chat --heldout heldout.json --dtype fp32 --out own.json --limit 2 --quiet
            experiment whole.toml --data data.json --out whole --plan
            experiment whole.toml --data data.json --out whole
            experiment whole.toml --data data.json --out whole --plan
            experiment whole.toml --data data.json --out whole
            experiment rule.toml --data data.json --out whole
            experiment rule.toml --data data.json --out rule --quiet
            {rule} --indicators 'length,length:unit=chars;field=instruction' --drop 1
            {rule} --indicators reward,length --reward-model rm --json --rule own.toml --drop 1
            {rule} --indicators length --metric mmlu
            {rule} --indicators length --choice full
            select data.json --config rule/rule.toml --run fresh --engine fake --keep 6 --out best.json""")


GROUPS: dict[str, Callable[[Witness], None]] = {
    "help": helps, "mistakes": mistakes, "messages": messages, "reading": reading, "fake": fake, "choosing": choosing,
    "golden": golden, "probing": probing, "exports": exports, "python": python, "served": served, "real": real,
    "experiments": experiments, "demo": demo,
}  # fmt: skip
REOPENED = {
    "fake": f"""show run
        show run --row 3 --json
        select --run run --method selectit --alpha 0.9 --keep 7 --out new.json
        select --run run --method ifd --keep 7 --out new-ifd.json
        select data.json --run run {ASKING} --unit-size 16 --k 7 --out new-k.json
        select data.json --run run {ASKING} --unit-size 16 --method selectit --keep 12 --allow-fewer --out selectit.json
        score --run run --method knn --json
        compare --run run --methods selectit,length,reward
        export run --to trl --selection selectit-sentence-paper-k5-a0.2-12rows""",
    "choosing": """show run
        show parts
        show casc
        select --run casc --cascade 50% --k 4 --alpha 0.3 --keep 6 --out new.json
        select data.json --engine fake --model m --run casc --k 5 --cascade 60% --keep 10% --out new2.json
        rate --run parts --model m --k 7
        select --run parts --k 7 --keep 4 --out new3.json
        select --run run --model m --engine fake --max-tokens 4096 --combine selectit,length --keep 4 --out new4.json""",
    "probing": """show run
        probe --run run --sample 30
        probe data.json --engine fake --model m --run run --k 3 --sample 30 --methods selectit,length
        expand data.json --engine fake --model m --run run --sample 12 --out new.json""",
    "real": f"""show run
        show run --row 7 --json
        select --run run --method selectit --alpha 0.9 --keep 7 --out new.json
        select data.json --run run {TINY} --unit-size 32 --k 6 --keep 7 --out new2.json
        select --run run --method tshirt --param copies=3 --keep 6 --out new3.json
        show parts
        select --run parts --k 5
        select data.json --limit 24 --model models/llama --dtype fp32 --unit-size 8 --run parts --keep 4 --out new4.json""",
    "experiments": """experiment whole.toml --data data.json --out whole --plan
        experiment whole.toml --data data.json --out whole
        train run --model models/chat --recipe small --recipe-param dtype=fp32 --recipe-param steps=2 --recipe-param max_tokens=64 --out tuned --seed 3
        eval models/chat --heldout heldout.json --dtype fp32
        fit-rule rule.toml --data data.json --out rule --indicators length --drop 1""",
}  # fmt: skip
"""What is done in a run directory of another version, by the group that wrote it."""
