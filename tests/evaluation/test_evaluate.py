"""Evaluation without the extra: protocols, options, results, local files, held-out losses, verdicts."""

import itertools
import json
import math
import sys

import numpy as np
import pytest
import torch

import tiny
from commandline import run
from selectit.errors import DataError, RunError, SelectitError, SettingsError
from selectit.evaluation import alpacaeval, heldout, local_files, translation
from selectit.evaluation.evaluate import evaluate
from selectit.evaluation.harness import draw
from selectit.evaluation.humaneval import pass_at_k
from selectit.evaluation.results import (
    Part,
    Results,
    combine_parts,
    load_parts,
    result_lines,
    standard_error,
    store_results,
    to_plain,
)
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import SUITES, Protocol, choose_protocols
from selectit.models import packaged
from selectit.selection import questions
from selectit.signals.loss_templates import PLAIN


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("tiny"))


def part(name, values, **changed):
    made = {
        "name": name,
        "benchmark": "mmlu",
        "fingerprint": "0" * 16,
        "metric": "acc",
        "value": sum(values) / len(values),
        "stderr": standard_error(values),
        "items": tuple(range(len(values))),
        "values": tuple(values),
        "metrics": {"acc,none": 0.5},
        "about": {"shots": 5, "version": 1.0},
        "seconds": 1.5,
    }
    return Part(**{**made, **changed})


def results(path, *parts):
    return Results(
        model="m", digest="d", suite="quick", path=path, scores=(combine_parts(parts),), skipped={"humaneval": "why"},
        settings={}, parts=parts,
    )  # fmt: skip


def test_paper_protocol_is_that_of_the_paper():
    paper = {protocol.task: protocol for protocol in SUITES["paper"]}
    assert (paper["mmlu"].shots, paper["mmlu"].items) == (5, None)
    assert (paper["bbh"].shots, paper["bbh"].items) == (3, 40)
    assert (paper["gsm8k"].shots, paper["gsm8k"].items, paper["gsm8k"].seed) == (8, 200, 42)
    assert (paper["tydiqa"].shots, paper["tydiqa"].items, paper["tydiqa"].max_new_tokens) == (1, 100, 50)
    code = paper["humaneval"]
    assert (code.samples, code.temperature, code.top_p, code.k, code.max_new_tokens) == (20, 0.8, 0.95, 10, 512)


def test_what_is_chosen():
    assert choose_protocols(None, (), heldout=False) == SUITES["quick"]
    assert choose_protocols(None, (), heldout=True) == ()
    assert choose_protocols("quick", (), heldout=True) == SUITES["quick"]
    (gsm8k,) = choose_protocols("paper", ("gsm8k",), heldout=False)
    assert gsm8k.items == 200
    (anatomy,) = choose_protocols("paper", ("mmlu_anatomy",), heldout=False)
    assert (anatomy.task, anatomy.shots) == ("mmlu_anatomy", 5)
    assert choose_protocols(None, ("hellaswag",), heldout=False) == (Protocol(task="hellaswag"),)


def test_limits_never_raise_the_number_of_items():
    assert Protocol(task="a", items=40).limited(100).items == 40
    assert Protocol(task="a", items=40).limited(2).items == 2
    assert Protocol(task="a").limited(2).items == 2
    assert Protocol(task="a").limited(None).items is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"suite": "papr"}, "no suite 'papr'"),
        ({"task": ("mmlu", "mmlu")}, "named twice"),
        ({"engine": "hff"}, "there is no --engine 'hff'"),
        ({"limit": 0}, "--limit is 0"),
        ({"engine": "server"}, "needs an address"),
        ({"engine": "server", "base_url": "http://x/v1"}, "tokenizer"),
        ({"base_url": "http://x/v1"}, "is for a server"),
        ({"judge_url": "http://x/v1"}, "names no model"),
        ({"heldout": ("a/x.json", "b/x.json")}, "one file name"),
        ({"template": "alpacca"}, "--template"),
        ({"task": ("humaneval",)}, "humaneval can't be run"),
        ({"task": ("alpacaeval",)}, "alpacaeval can't be run"),
        ({"task": ("wmt22",)}, "wmt22 can't be run"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_loaded(wrong, said, model):
    with pytest.raises(SettingsError, match=said) as caught:
        evaluate(model, EvalSettings(**wrong))
    assert caught.value.hint


def test_several_models_have_no_single_file(model):
    with pytest.raises(SettingsError, match="--out is one file"):
        evaluate([model, "smollm2"], EvalSettings(out="x.json"))


def test_draws_are_seeded_sorted_and_of_all_items():
    assert draw(5, None, 1) == draw(5, 9, 1) == (0, 1, 2, 3, 4)
    drawn = draw(1319, 200, 42)
    assert drawn == draw(1319, 200, 42) != draw(1319, 200, 43)
    assert list(drawn) == sorted(set(drawn))
    assert len(drawn) == 200
    assert drawn[-1] > 1000  # not the first ones


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 3), (6, 0, 2), (6, 6, 1), (7, 1, 7), (4, 3, 2)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(n, c, k):
    right = [True] * c + [False] * (n - c)
    draws = [any(right[at] for at in chosen) for chosen in itertools.combinations(range(n), k)]
    assert pass_at_k(n, c, k) == pytest.approx(sum(draws) / len(draws), abs=1e-15)


def test_pass_at_10_of_the_paper():
    assert pass_at_k(20, 3, 10) == pytest.approx(0.894737, abs=1e-6)


def test_scores_of_parts():
    parts = (part("a", [1.0, 0.0, 1.0]), part("b", [0.0, 0.0, 1.0, 0.0, 0.0]))
    found = combine_parts(parts)
    assert found.value == pytest.approx(3 / 8)
    within = np.concatenate([np.subtract(each.values, each.value) for each in parts])
    # lm-eval's pooled_sample_stderr weights each part's variance by (n - 1) and divides by N - parts.
    assert found.stderr == pytest.approx(math.sqrt((within**2).sum() / (8 - 2) / 8))
    assert (found.items, found.parts, found.shots, found.version, found.seconds) == (8, 2, 5, "1.0", 3.0)


def test_parts_of_one_item_have_the_error_of_all_items():
    found = combine_parts((part("a", [1.0]), part("b", [0.0]), part("c", [0.0])))
    assert found.stderr == pytest.approx(np.std([1, 0, 0], ddof=1) / math.sqrt(3))


def test_stored_parts_come_back_as_they_were(folder):
    path = folder / "quick.json"
    first, single = part("a", [1.0, 0.0]), part("b", [1.0])
    store_results(results(path, first, single), {})
    back = load_parts(path)
    assert back["a"] == first
    assert math.isnan(back["b"].stderr)  # null in the file
    assert "NaN" not in path.read_text()
    store_results(results(path, part("a", [0.0, 0.0])), back)  # another task's part stays
    assert set(load_parts(path)) == {"a", "b"}
    assert load_parts(path)["a"].value == 0


def test_a_file_of_something_else_is_refused(folder):
    (folder / "x.json").write_text('{"a": 1}')
    with pytest.raises(RunError, match="holds no results"):
        load_parts(folder / "x.json")


def test_the_table_has_all_figures(folder):
    lines = "\n".join(result_lines(results(folder / "quick.json", part("a", [1.0, 0.0, 0.0, 0.0]))))
    assert "mmlu" in lines
    assert "0.2500" in lines
    assert "humaneval: not run, why" in lines
    assert "parts" not in to_plain(results(folder / "quick.json", part("a", [1.0])))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_missing_files_are_named(folder):
    for benchmark, name, file in [
        ("mmlu", "anatomy", "mmlu/dev/anatomy_dev.csv"),
        ("gsm8k", "main", "gsm8k/test.jsonl"),
        ("bbh", "snarks", "bbh/snarks.json"),
        ("tydiqa", "english", "tydiqa/english_tydiqa_dev.json"),
    ]:
        with pytest.raises(DataError, match=f"there is no file .*{file}") as caught:
            local_files.find_files(benchmark, folder, name)
        assert "--data-dir" in caught.value.hint
    with pytest.raises(DataError, match=r"text_davinci_003\.json"):
        alpacaeval.read_instructions(str(folder))
    with pytest.raises(DataError, match="wmt22"):
        translation.find_pairs("wmt22", str(folder))
    with pytest.raises(DataError, match=r"newstest22\.de-en\.de"):
        translation.find_pairs("wmt22_de-en", str(folder))


def test_mmlu_with_and_without_a_header(folder):
    write(folder / "mmlu/dev/x_dev.csv", 'question,choice0,choice1,choice2,choice3,answer\n"a, b",1,2,3,4,2\n')
    write(folder / "mmlu/test/x_test.csv", "q,1,2,3,4,D\n")
    found = local_files.mmlu(data_dir=str(folder), name="x", version=1.0)
    assert found["dev"][0] == {"question": "a, b", "choices": ["1", "2", "3", "4"], "answer": 2}
    assert found["test"][0]["answer"] == 3
    write(folder / "mmlu/test/x_test.csv", "q,1,2,3,4,D\nq,1,2,3,E\n")
    with pytest.raises(DataError, match=r"x_test\.csv, row 2"):
        local_files.mmlu(data_dir=str(folder), name="x")


def test_other_layouts(folder):
    write(folder / "bbh/snarks.json", json.dumps({"canary": "c", "examples": [{"input": "i", "target": "(A)"}]}))
    assert local_files.bbh(data_dir=str(folder), name="snarks")["test"][0] == {"input": "i", "target": "(A)"}
    write(folder / "gsm8k/test.jsonl", '{"question": "q\\u2028", "answer": "#### 1"}\n')
    assert local_files.gsm8k(data_dir=str(folder), name="main")["test"].num_rows == 1
    write(folder / "gsm8k/test.jsonl", '{"question": "q", "answer": "#### 1"}\n{"question": 3}\n')
    with pytest.raises(DataError, match=r"test\.jsonl, item 2"):
        local_files.gsm8k(data_dir=str(folder), name="main")
    write(folder / "bbh/snarks.json", "[]")
    with pytest.raises(DataError, match="no list of objects 'examples'"):
        local_files.bbh(data_dir=str(folder), name="snarks")


def squad(count):
    questions = [
        {"id": f"english-{at}", "question": f"q{at}", "answers": [{"text": "a", "answer_start": 0}]}
        for at in range(count)
    ]
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": questions}]}]})


def test_tydiqa_keeps_shots_out_of_what_is_asked(folder):
    write(folder / "tydiqa/english_tydiqa_dev.json", squad(8))
    found = local_files.tydiqa(data_dir=str(folder), name="english")
    assert not set(found["train"]["id"]) & set(found["validation"]["id"])
    assert (found["train"].num_rows, found["validation"].num_rows) == (5, 3)
    write(folder / "tydiqa/english_tydiqa_train.json", squad(2))
    found = local_files.tydiqa(data_dir=str(folder), name="english")
    assert (found["train"].num_rows, found["validation"].num_rows) == (2, 8)
    write(folder / "tydiqa/finnish_tydiqa_dev.json", squad(5))
    with pytest.raises(DataError, match="5 are kept as shots"):
        local_files.tydiqa(data_dir=str(folder), name="finnish")


def test_held_out_losses_are_the_models(model, data, rows):
    (found,) = evaluate(model, EvalSettings(heldout=str(data), dtype="fp32"))
    (figures,) = found.parts
    network = __import__("transformers").AutoModelForCausalLM.from_pretrained(model)
    words = tiny.tokenizer()
    sums, counts = [], []
    for row in rows:
        prefix = words(PLAIN.template.replace("{instruction}", row["instruction"]))["input_ids"]
        response = words(row["output"])["input_ids"]
        if response:
            with torch.no_grad():
                logp = network(torch.tensor([prefix + response])).logits[0].log_softmax(-1)
            places = torch.arange(len(prefix) - 1, len(prefix) + len(response) - 1)
            sums.append(-logp[places, torch.tensor(response)].sum().item())
            counts.append(len(response))
    assert figures.metrics["nll_per_token"] == pytest.approx(sum(sums) / sum(counts), abs=1e-4)
    means = np.divide(sums, counts)
    assert figures.metrics["nll_per_row"] == pytest.approx(means.mean(), abs=1e-4)
    assert figures.metrics["nll_per_row_stderr"] == pytest.approx(means.std(ddof=1) / len(means) ** 0.5, abs=1e-4)
    assert figures.about["failed"] == 1  # the empty response
    assert len(figures.items) == len(rows) - 1
    # The error of a ratio of means, by the jackknife over rows.
    whole = [(sum(sums) - s) / (sum(counts) - c) for s, c in zip(sums, counts, strict=True)]
    jackknife = math.sqrt((len(whole) - 1) * np.var(whole))
    assert figures.stderr == pytest.approx(jackknife, rel=0.15)


def test_what_is_done_is_not_run_again(model, data, capfd, monkeypatch, folder):
    arguments = ("eval", model, "--heldout", data, "--json")
    code, out, _ = run(capfd, *arguments)
    assert code == 0
    first = json.loads(out)
    assert first[0]["path"].startswith("selectit-evals/")
    monkeypatch.setattr(heldout.HeldOut, "run", lambda *_: pytest.fail("it was run again"))
    code, out, err = run(capfd, *arguments)
    assert json.loads(out) == first
    assert "is done already" in err
    data.write_text(json.dumps([{"instruction": "Say.", "output": "yes no"}] * 3))
    with pytest.raises(pytest.fail.Exception, match="run again"):
        run(capfd, *arguments)


def test_results_of_a_model_in_a_run_stay_in_the_run(model, data, folder):
    import shutil

    import selectit

    ran = selectit.select(data, selectit.Settings(run="the-run", method="length"))
    inside = ran.run / "train" / "one" / "model"
    shutil.copytree(model, inside)
    (found,) = evaluate(str(inside), EvalSettings(heldout=str(data), limit=3))
    assert found.path.resolve() == (folder / "the-run" / "eval" / "train-one-model" / "heldout.json").resolve()
    assert len(found.parts[0].items) <= 3


def test_held_out_losses_alone_may_be_asked_in_chat(data, folder):
    model = tiny.build_chat(folder / "chat")
    found = [
        evaluate(model, EvalSettings(heldout=str(data), limit=3, out=f"{n}.json", **given))[0].parts[0]
        for n, given in enumerate([{"template": "chat"}, {"chat": True}, {}])
    ]
    assert found[0].values == found[1].values != found[2].values


@pytest.mark.parametrize("given", [{"chat": True}, {"template": "chat"}])
def test_a_model_without_a_chat_template_is_refused_first(model, data, given):
    with pytest.raises(SelectitError, match="has no chat template"):
        evaluate(model, EvalSettings(heldout=str(data), **given))


@pytest.mark.parametrize(
    ("as_a", "as_b", "won"),
    [
        ("A", "B", 1.0),
        ("B", "A", 0.0),
        ("A", "A", 0.5),  # the judge likes whatever comes first
        ("C", "B", 0.5),
        ("C.", "C", 0.5),
        ("Answer: A", "The better one is B.", 1.0),
        ("neither", "B", None),
        (None, "A", None),
    ],
)
def test_verdicts_of_both_orders(as_a, as_b, won):
    assert alpacaeval.parse_verdicts(as_a, as_b) == won


def test_prompts_of_translation():
    assert (
        translation.translation_prompt("de-en", "Ja.")
        == "Translate this from German to English:\nGerman: Ja.\nEnglish:"
    )


def test_without_the_extra_it_says_how_to_get_it(model, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    code, _, err = run(capfd, "eval", model, "--task", "mmlu", "--data-dir", ".")
    assert code == 2
    assert "[eval]" in err


def test_no_model_is_an_error(capfd):
    code, _, err = run(capfd, "eval", "--suite", "quick")
    assert code == 2
    assert "no model is named" in err


def test_models_are_resolved_before_anything_else(capfd):
    code, _, err = run(capfd, "eval", "./nowhere", "--suite", "quick")
    assert code == 2
    assert "there is no folder ./nowhere" in err
    assert packaged.PACKAGED  # the packaged ones are named by name alone


def test_files_that_are_missing_are_named_before_a_model_is_looked_for(folder):
    with pytest.raises(DataError, match=r"can't read missing\.json"):
        evaluate("no-model", EvalSettings(heldout="missing.json"))
    with pytest.raises(SettingsError, match="there is no folder nowhere"):
        evaluate("no-model", EvalSettings(task="gsm8k", data_dir="nowhere"))


def test_held_out_conversations_take_roles_of_ones_own(folder):
    record = {"messages": [{"role": "boss", "content": "q"}, {"role": "assistant", "content": "a"}]}
    (folder / "h.json").write_text(json.dumps([record]))
    with pytest.raises(DataError, match="unknown role 'boss'"):
        heldout.read_last_answers("h.json", EvalSettings())
    (sample,) = heldout.read_last_answers("h.json", EvalSettings(roles="boss=user"))
    assert (sample.instruction, sample.response) == ("q", "a")
    assert questions.read_named("h.json", None, ("boss=user",)).questions == ["q"]
