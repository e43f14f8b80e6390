"""Wrong options of every verb, and data that can't be read: what the program says of them."""

# ruff: noqa: E501

from __future__ import annotations

import runpy
import shlex
import shutil
from pathlib import Path

from selectit.cli.main import main
from witness_data import OWN, TALKS, put, rows
from witness_keeping import Witness, files, in_tests

# Messages: the options of a verb that are wrong, '|' between them

WRONG_SELECT = """--engine fak | --dtype int8 | --level sentens | --profile papr | --method selekt | --method nope.py:X
 | --method own.py:Nix | --method own.py:Nothing | --param x=1 | --param alpha | --param alpha=2 | --method random --alpha 1
 | --method length --param unit=wrds | --method length --param max_repetition=x | --alpha -1 | --alpha x | --k 0 | --k 12
 | --k x | --keep 0 | --keep 1.5 | --keep 101% | --keep -3 | --keep x | --keep 1000 | --keep 1% | --min-score nan
 | --min-score 99 | --min-score 99 --keep 3 | --limit 0 | --limit x | --format alpac | --map x | --map instruction=a
 | --map instruction=a,answer=b | --map instruction=a,response=b --format alpaca | --turns all | --bad-rows drop
 | --overflow no | --layout no | --pooling no | --order random | --missing-label no | --missing-label floor
 | --executor no | --workers 2 | --worker-cpus 0 | --worker-gpus -1 --executor ray | --ray-address x | --share 0/2
 | --share 2/2 | --share x --cascade 50% | --max-tokens 0 | --batch-tokens 0 | --unit-size 0 | --concurrency 0
 | --concurrency 3 | --tokenizer x | --base-url http://x/v1 | --engine server | --engine server --base-url x
 | --engine server --base-url http://u:p@x/v1 | --engine server --base-url http://x --dtype fp32
 | --engine server --base-url http://x --device-map auto | --engine server --base-url http://x --method ifd
 | --engine server --base-url http://x --chat | --engine server --base-url http://x --tokenizer t --model a --model b
 | --engine vllm --device-map auto | --engine vllm --method ifd | --engine vllm | --engine-param a=1
 | --engine vllm --engine-param model=x | --engine vllm --engine-param logprobs_mode=x | --engine vllm --engine-param a
 | --model m --model m | --model a --model b --level token | --model a --model b --weights 1,2,3
 | --model a --model b --profile official | --profile official --k 7 | --weights 2 | --weights a | --weights=-1,2 --model a --model b
 | --min-prompts 9 | --min-prompts -1 | --labels 1,1 | --labels 1 | --labels a,b --profile official | --prompts no.txt
 | --prompts blank.txt | --prompts two.txt --k 3 | --prompts bad.toml | --prompts x.toml | --prompts aspect
 | --cascade 10% | --cascade 0 | --cascade most | --cascade 50% --cascade-k 5 | --cascade-k 2 | --cascade-model n
 | --cascade 50% --level token | --cascade 50% --method length | --cascade 50% --method kcenter
 | --cascade 50% --method calibrated --param by=batch | --cascade 50% --combine selectit,length
 | --cascade 50% --model m --model n | --cascade 50% --model m --cascade-model m | --combine selectit
 | --combine selectit:x,length | --combine selectit:-1,length | --combine selectit,kmeans | --combine selectit,length --alpha 1
 | --combine selectit,length --param a=1 | --combine selectit,lengt | --combine-by no --combine selectit,length
 | --combine 'selectit:alpha,length' | --method reward | --method alpagasus | --method field --param name=no
 | --method fixed | --method fixed --param file=no.txt | --method fixed --param file=twice.txt
 | --method fixed --param file=far.txt | --method fixed --param file=words.txt | --method fixed --param file=other.json
 | --method random --param balance=nothing | --method random --param exclude=no.txt | --method lift --param quality=kmeans
 | --method lift --param components=1 | --method qdit --param quality=stored:no | --method qdit --param quality=qdit
 | --method instruction-mining --param rule=v9 | --method instruction-mining --param indicators=length
 | --method perplexity --param policy=no | --method perplexity --param template=no | --method ifd --param boundary=no
 | --method tshirt --param copies=-1 | --method tshirt --param noise=0 | --method knn --param k=0 | --method knn --param text=no
 | --method kmeans --param clusters=-1 | --method dpp --param kernel=no | --method facility-location --param similarity=no
 | --method length --param order=no | --method lexical --param index=no | --method log-odds --param upper=9
 | --method calibrated --param by=no | --method contrast --param other=x | --method alpagasus-local --param dimension=x
 | --method alpagasus-local --param parser=no | --method uncertainty --param measure=no | --method deita --param limit=9
 | --method instag --param min_count=0 | --method superfiltering --param boundary=no | --seed x | --seed -1
 | --name ../x | --name '' | --out . | --out no/x.json | --out data.json | --rest data.json | --out x.json --rest x.json
 | --rest no/x.json | --json --out - | --config no.toml | --config kep.toml | --config kind.toml | --config broken.toml
 | --run data.json | --run folder | --nope | --keep | --force=1 | extra | --subset x | --split x | --device-map x
 | --trust-remote-code --accept-terms --encoder ./no --method knn | --judge ./no --engine hf --method alpagasus-local
 | --reward-model ./no --engine hf --method reward | --model ./no --engine hf | --model smollm --engine hf
 | --model owner/name --engine hf | --model ./folder --engine hf | --model ./empty --engine hf
 | --model gemma3-270m --engine hf | --encoder gemma3-270m --engine hf --method knn | --proxy x | --sample 3"""
WRONG_DATA = """missing.json | no/such | owner/name | folder | empty | noext | '' | - | run"""
WRONG_STORED = """--limit 3 | --turns each | --format alpaca | --split x | --retry-errors | --share 0/2 | --executor ray
 | --bad-rows skip | --model n | --k 7 | --engine hf | --engine vllm | --dtype bf16 | --max-tokens 9 | --labels a,b
 | --chat | --layout sample-first | --prompts yes-no | --method ifd | --method knn | --method reward | --method alpagasus
 | --method contrast | --method calibrated | --weights 1,2 | --level model-token | --method length --param unit=tokens
 | --method qdit --param quality=stored:none | --combine selectit,ifd | --cascade 50% | --name first | --out first.json
 | --model smollm2 --engine fake --unit-size 7"""
WRONG = {
    "score --run run": "--method kmeans | --combine selectit,length --combine-by union | --level no | --k 9 | --json x",
    "score": " | --run nowhere | --run folder | --run data.json | --run broken",
    "show": " | nowhere | folder | run --row 60 | run --row -1 | run --row x | broken",
    "rate data.json --engine fake": "--share 1 | --share 2/2 | --share 0/2 --cascade 50% | --method selekt | --combine x"
    " | --cascade 50% --k 1 | --keep 3 | --run folder | --combine selectit,kmeanss | --method reward | --level token",
    "rate": " | --run nowhere | --run run --limit 3 | --run run --share 0/2 --k 12 | missing.json",
    "plan data.json --engine fake --run new": "--sample 1 | --sample 0 | --proxy smollm2 | --proxy ./no | --k 10"
    " | --retry-errors | --max-tokens 3 | --method ifd | --labels 1,1",
    "plan": " | missing.json | data.json --model ./nowhere | --run nowhere | data.json --rows 9 | data.json --on h10",
    "probe data.json --engine fake --model m --run new": "--sample 19 | --sample 10 | --labelled nothing"
    " | --labelled source=z | --labelled source!=a | --labelled score>=x | --labelled none=1 | --methods kmeans"
    " | --methods selekt | --k 12 | --prompts no.txt | --method full | --combine x,y | --cascade 50% | --methods reward"
    " | --methods 'length:unit=no' | --level no | --prompts default --prompts default",
    "probe": " | few.json --engine fake --run few | --run nowhere",
    "tune-prompts data.json --engine fake --model m --run new": " | --out p.toml --k 10 | --out p.toml --sample 39"
    " | --out p.toml --model n | --out there.toml --sample 40 | --out no/p.toml --sample 40 | --out p.toml --prompts two.txt",
    "expand data.json --engine fake --run new": " | --model m --styles dept | --model m --styles '' | --model m --sample 0"
    " | --model m --styles depth,depth | --model a --model b | --model m --max-new-tokens 0 | --model m --out data.json"
    " | --model m --out no/x.json | --model m --engine vllm | --model m --engine server | --model m --json --out -"
    " | --model m --engine server --base-url http://x --max-tokens 9 | --model m --out first.json --sample 2",
    "expand": " | missing.json --model m --engine fake | talks.jsonl --model m --engine fake --styles depth --run t"
    " | multi.jsonl --model m --engine fake --run t2 | expanded.json --model m --engine fake --run t3",
    "compare --run run": " | --methods selectit | --methods selectit,selekt | --methods selectit,ifd | --keep 0 --methods"
    " selectit,length | --methods selectit,random --keep 1000 | --methods selectit,selectit:k=9 | --level token",
    "compare": " | --methods selectit,length | --run nowhere --methods selectit,length",
    "export run": " | --to axolot | --to openai --with-scores | --to trl --bad-rows drop | --to trl --out data.json"
    " | --to trl --out no/out | --to trl --out run --force | --to trl --selection no | --to trl --selection all --with-scores",
    "export": " | nowhere --to trl | rated --to trl | two --to trl",
    "train run": "--recipe no | --recipe no.toml | --recipe kep.toml | --recipe-param stepps=2 | --recipe-param steps=x"
    " | --recipe-param x | --recipe-param batch_size=3 --recipe-param micro_batch=2 | --recipe-param lora=-1"
    " | --recipe-param learning_rate=0 | --recipe-param dtype=fp8 | --recipe-param warmup=2 | --recipe-param template=x"
    " | --recipe-param quantize=nf4 | --selection no | --model ./no | --model smollm | --seed x | --checkpoint-minutes x"
    " | --recipe-param weight_decay=-1 | --recipe-param betas=1,2 | --recipe-param lora_targets= --recipe-param lora=2",
    "train": " | nowhere | rated | two",
    "eval": " | --suite quick | ./nowhere --suite quick | smollm --suite quick | m --suite papr | m --task mmlu --task mmlu"
    " | m --engine hff | m --engine fake | m --limit 0 | m --batch-size 0 | m --engine server | m --base-url http://x/v1"
    " | m --engine server --base-url http://x/v1 | m --judge-url http://x/v1 | m --heldout a/x.json --heldout b/x.json"
    " | m --template alpacca | m --task humaneval | m --task alpacaeval | m --task wmt22 | m n --out x.json | m --dtype int8"
    " | smollm2 --task mmlu --data-dir . | smollm2 --heldout missing.json | smollm2 --chat --heldout data.json --template no"
    " | m n --engine server --base-url http://x/v1 --tokenizer t | smollm2 --task wmt22_xx-en --data-dir .",
    "experiment": " | no.toml | broken.toml | e.toml | e.toml --data missing.json --plan | kep.toml --data data.json",
    "fit-rule": " | e.toml | no.toml --indicators length | e.toml --data data.json --indicators length --keep 0% --out nowhere"
    " | e.toml --data data.json --indicators kmeans --out nowhere | e.toml --data data.json --indicators '' --out nowhere",
    "models": " fetch | fetch smollm | fetch gemma3-270m | nope | --nope",
    "methods": "x | --nope",
    "": "selekt | --nope | --version | select --version | exprt | Select",
}
EXPERIMENTS = (  # what stands in a file of an experiment that is refused; see tests/test_experiments.py
    "budget = 3", "seeds = [0]", "[[choices]]\nname = 'x'", "[[choices]]\nmethod = 'selectt'",
    "[[choices]]\nmethod = 'random'\n[[choices]]\nmethod = 'random'", "models = 'smollm2'\n[[choices]]\nmethod = 'random'",
    "seeds = 3\n[[choices]]\nmethod = 'random'", "seeds = [-1]\n[[choices]]\nmethod = 'random'", "x = ",
    "models = []\n[[choices]]\nmethod = 'random'", "decontaminate = 'false'\n[[choices]]\nmethod = 'random'",
    "evaluation = 3\n[[choices]]\nmethod = 'random'", "[evaluation]\nlimit = '4'\n[[choices]]\nmethod = 'random'",
    "[evaluation]\nsuite = 'no'\n[[choices]]\nmethod = 'random'", "[[choices]]\nmethod = 3",
    "[evaluation]\nsuite = 'translation'\n[[choices]]\nmethod = 'random'", "[[choices]]\nmethod = 'selectit:level=model'",
    "budgets = ['0']\n[[choices]]\nmethod = 'random'", "[settings]\nout = 'x'\n[[choices]]\nmethod = 'random'",
    "[recipe_changes]\nstep = 1\n[[choices]]\nmethod = 'random'", "[evaluation]\nsuit = 'q'\n[[choices]]\nmethod = 'random'",
    "[search]\nlow = 0\n[[choices]]\nmethod = 'random'", "[evaluation]\ntask = ['wmt22_de-en']\n[[choices]]\nmethod = 'random'",
    "[[choices]]\nmethod = 'random'\nbudgets = ['search']\nsettings = { alpha = 'no' }", "[[choices]]\nmethod = 'reward'",
    "[[choices]]\nmethod = 'random'\nsettings = { limit = 3 }", "[settings]\nengine = 'vllm'\n[[choices]]\nmethod = 'ifd'",
    "[[choices]]\nmethod = 'selectit'\nsettings = { k = 99 }", "[[choices]]\nmethod = 'random'\nrater = ['a', 'a']",
    "recipe = 'no'\n[[choices]]\nmethod = 'random'", "[settings]\nengine = 'no'\n[[choices]]\nmethod = 'random'",
)  # fmt: skip


def mistakes(say: Witness) -> None:
    """The table of the tests, which docs/mistakes.md shows."""
    put("blank.txt", "\n")
    put("two.txt", "one\ntwo\n")
    put("c.toml", "kep = 1\n")
    put("other/file", "x")
    for name, (file, data, arguments, _) in runpy.run_path(str(in_tests("test_mistakes.py")))["MISTAKES"].items():
        if file is not None:
            Path(file).write_bytes(data if isinstance(data, bytes) else data.encode())
        arguments = ["select", "--quiet", *([] if file is None else [file]), *arguments]
        say.seen = files()
        say.run(f"{name}: {shlex.join(arguments)}", lambda arguments=arguments: main(arguments))
        if file is not None:
            Path(file).unlink()


def messages(say: Witness) -> None:
    """What each verb says of options that are wrong, and of files that are none of its own."""
    put("data.json", rows())
    put("few.json", rows(5))
    put("other.json", [{"instruction": "not there", "output": "x"}])
    put("talks.jsonl", TALKS)
    put("multi.jsonl", [TALKS[1]])
    put("expanded.json", [{**row, "expanded_from": 1, "expansion_style": "depth"} for row in rows(5)])
    put("own.py", OWN)
    texts = {"blank.txt": "\n", "two.txt": "one\ntwo\n", "twice.txt": "1\n1\n", "far.txt": "99\n", "words.txt": "a\n",
             "kep.toml": "kep = 1\n", "kind.toml": "k = 'x'\n", "broken.toml": "x = \n", "bad.toml": "prompts = 3\n",
             "x.toml": "nope = 1\nprompts = ['a']\n", "there.toml": "", "folder/file": "x", "broken/manifest.json": "{"}  # fmt: skip
    for name, text in texts.items():
        put(name, text)
    Path("empty").mkdir()
    put("e.toml", "[[choices]]\nmethod = 'random'\n")
    say("""select data.json --engine fake --run run --name first --out first.json --keep 5
           rate data.json --engine fake --run rated --k 1
           select data.json --method length --run two --name one --keep 3 --out 1.json
           select --run two --method length --name two --keep 4 --out 2.json""")
    for prefix, wrong in {
        "select data.json --run new --engine fake --quiet": WRONG_SELECT,
        "select": WRONG_DATA,
        "select --run run": WRONG_STORED,
        **WRONG,
    }.items():
        for each in wrong.split(" |"):
            say(f"{prefix} {' '.join(each.split())}")
            shutil.rmtree("new", ignore_errors=True)
            say.seen = files()
    for text in EXPERIMENTS:
        put("e.toml", text)
        say.run(
            f"experiment e.toml, which is {text}", lambda: main("experiment e.toml --data data.json --plan".split())
        )
    for verb in ("select", "rate", "expand", "probe"):
        say(
            f"{verb} data.json --run other --engine fake --model m --limit 30 --quiet\n{verb} other.json --run other --engine fake --model m"
        )
