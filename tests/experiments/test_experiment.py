"""Experiments: what a file says, what is left out, what the tables say, and a whole one with a tiny model."""

import dataclasses
import gzip
import itertools
import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from commandline import run
from places import ROOT
from selectit.config.settings import Settings
from selectit.errors import DataError, RunError, SettingsError
from selectit.evaluation import evaluate as evaluation_evaluate
from selectit.experiments import cell, experiment, plan, settings
from selectit.experiments.clean import CleanData
from selectit.experiments.load import load
from selectit.experiments.outcomes import BenchmarkScore, Outcome
from selectit.experiments.report import sections, tables
from selectit.runs.run import Run
from selectit.training import train as training_train
from small_experiment import experiment_file

EXAMPLES = ROOT / "examples" / "experiments"
CHOICES = """
[[choices]]
method = "full"
seeds = [0]
[[choices]]
method = "random"
[[choices]]
method = "selectit:k=2"
name = "SelectIT"
"""


def small_file(model):
    return experiment_file(model, CHOICES, top="seeds = [0, 1]")


# The file


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_experiments(path):
    file = tomllib.loads(path.read_text())
    targets = [each.get("settings", {}).get("target", []) for each in (file, *file["choices"])]
    for target in itertools.chain.from_iterable([each] if isinstance(each, str) else each for each in targets):
        Path(target).parent.mkdir(exist_ok=True)  # it is read already
        Path(target).write_text('{"prompt": "What is wanted?", "completion": "This."}\n')
    found = load(path, "data.json")
    assert len(settings.list_cells(found)) > len(found.choices)


def test_cells_and_their_settings(folder):
    Path("e.toml").write_text(small_file("tiny"))
    found = load("e.toml", "data.json")
    names = [cell.name for cell in settings.list_cells(found)]
    assert [name[:-7] for name in names] == [
        "tiny-base-s0",
        "tiny-full-s0",
        "tiny-random-25-s0",
        "tiny-random-25-s1",
        "tiny-SelectIT-25-s0",
        "tiny-SelectIT-25-s1",
    ]
    assert len(set(names)) == len(names)
    chosen = [settings.build_settings(found, cell, "run") for cell in settings.list_cells(found)[1:]]
    assert [each.seed for each in chosen] == [None, 0, 1, None, None]
    assert [each.keep for each in chosen] == [None, "25%", "25%", "25%", "25%"]
    assert chosen[-1].k == 2 and chosen[-1].engine == "fake" and chosen[-1].model == ("tiny",)
    assert (found.recipe.steps, found.recipe.batch_size) == (2, 4)


def test_a_target_is_for_the_choices_that_read_one(folder, tiny_model):
    Path("sums.jsonl").write_text('{"prompt": "Two and two?"}\n')
    choices = "".join(
        f'[[choices]]\nmethod = "{each}"\n' for each in ("random", "dsir", "deita:quality=dsir;complexity=length")
    )
    choices += '[[choices]]\nmethod = "knn-target"\nsettings = { target = "other.jsonl" }\n'
    Path("other.jsonl").write_text('{"prompt": "Who sings?"}\n')
    Path("heldout.json").write_text('[{"prompt": "Three and three?", "completion": "Six."}]')
    text = experiment_file(tiny_model, choices).replace("[settings]", '[settings]\ntarget = "sums.jsonl"')
    Path("e.toml").write_text(text)
    found = load("e.toml", "data.json")
    cells = settings.list_cells(found)[1:]
    chosen = [settings.build_settings(found, each, "run").target for each in cells]
    assert chosen == [(), ("sums.jsonl",), ("sums.jsonl",), ("other.jsonl",)]
    before = [cell.fingerprint_cell(found, each, "data", 9) for each in cells]
    Path("sums.jsonl").write_text('{"prompt": "Three and two?"}\n')
    after = [cell.fingerprint_cell(found, each, "data", 9) for each in cells]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, False, True]


def test_parameters_with_flags_and_without():
    plain = Settings()
    made = settings.with_method("selectit:alpha=0.4;profile=official;k=3", plain)
    assert (made.alpha, made.profile, made.k, made.param) == (0.4, "official", 3, {})
    made = settings.with_method("calibrated:by=batch;k=2", plain)
    assert (made.method, made.k, made.param) == ("calibrated", 2, {"by": "batch"})
    assert settings.with_method("knn:k=7", plain).param == {"k": 7}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budget = 3", "there is no key 'budget'"),
        ("seeds = [0]", "there are no choices"),
        ("[[choices]]\nname = 'x'", "a choice has no method"),
        ("[[choices]]\nmethod = 'selectt'", "there is no method 'selectt'"),
        ("[[choices]]\nmethod = 'random'\n[[choices]]\nmethod = 'random'", "two cells are smollm2 random 20%, seed 0"),
        ("models = 'smollm2'\n[[choices]]\nmethod = 'random'", "models is 'smollm2', a value of the wrong kind"),
        ("seeds = 3\n[[choices]]\nmethod = 'random'", "seeds is 3, a value of the wrong kind"),
        ("seeds = [-1]\n[[choices]]\nmethod = 'random'", "seeds is [-1]"),
        ("models = []\n[[choices]]\nmethod = 'random'", "models is empty"),
        ("decontaminate = 'false'\n[[choices]]\nmethod = 'random'", "decontaminate is 'false'"),
        ("evaluation = 3\n[[choices]]\nmethod = 'random'", "evaluation: 3 is no table"),
        ("[evaluation]\nlimit = '4'\n[[choices]]\nmethod = 'random'", "evaluation: a value of the wrong kind"),
        ("[evaluation]\nsuite = 'no'\n[[choices]]\nmethod = 'random'", "there is no suite 'no'"),
        ("[evaluation]\nsuite = 'translation'\n[[choices]]\nmethod = 'random'", "nothing of it can be run"),
        ("[[choices]]\nmethod = 3", "choices: method is 3"),
        ("[[choices]]\nmethod = 'selectit:level=model'", "needs several models"),
        ("budgets = ['0']\n[[choices]]\nmethod = 'random'", "--keep is 0"),
        ("[settings]\nout = 'x'\n[[choices]]\nmethod = 'random'", "settings: there is no key 'out'"),
        ("[recipe_changes]\nstep = 1\n[[choices]]\nmethod = 'random'", "recipe_changes: there is no key 'step'"),
        ("[evaluation]\nsuit = 'q'\n[[choices]]\nmethod = 'random'", "evaluation: there is no key 'suit'"),
        ("[search]\nlow = 0\n[[choices]]\nmethod = 'random'", "search: 8 trials from 0 to 100 percent"),
        (
            "[[choices]]\nmethod = 'random'\nname = 'x'\nbudgets = ['search']\n"
            "[[choices]]\nmethod = 'length'\nname = 'x'\nbudgets = ['search']",
            "two cells are smollm2 x 100%, seed 0",
        ),
        ("[[choices]]\nmethod = 'random'\nbudgets = ['search']\nsettings = { alpha = 'no' }", "alpha"),
        ("[evaluation]\ntask = ['wmt22_de-en']\n[[choices]]\nmethod = 'random'", "wmt22_de-en can't be run"),
        ("[[choices]]\nmethod = 'random'\nsettings = { limit = 3 }", "random: limit would read the experiment's data"),
        ("[settings]\nengine = 'vllm'\n[[choices]]\nmethod = 'ifd'", "ifd: the engine vllm gives no losses"),
        ("[[choices]]\nmethod = 'reward'", "reward: "),
        ("[[choices]]\nmethod = 'selectit'\nsettings = { k = 99 }", "selectit: k is 99"),
        ("x = ", "is not TOML"),
    ],
)
def test_files_that_are_refused(folder, text, message):
    Path("e.toml").write_text(text)
    with pytest.raises(SettingsError, match="e.toml") as error:
        load("e.toml", "data.json")
    assert message in error.value.message


@pytest.mark.parametrize("missing", ["data.json", "heldout.json", "./model"])
def test_what_is_missing_is_said_before_anything_is_read(folder, capfd, missing):
    for name in {"data.json", "heldout.json"} - {missing}:
        Path(name).write_text('[{"instruction": "a?", "output": "b"}]')
    model = "./model" if missing == "./model" else "smollm2"
    Path("e.toml").write_text(experiment_file(model, "[[choices]]\nmethod = 'random'", top="data = 'data.json'"))
    code, _, err = run(capfd, "experiment", "e.toml", "--plan")
    assert code == 2 and missing in err.splitlines()[0] and not Path("selectit-experiments").exists()


def test_a_file_without_data(folder):
    Path("e.toml").write_text("[[choices]]\nmethod = 'random'")
    with pytest.raises(SettingsError, match="no data set is named"):
        load("e.toml")


# The tables


def test_what_is_shown_is_what_differences_are_of():
    """Held-out losses are measured per token and per row; tables and differences take the rows."""
    long = BenchmarkScore("nll per token", 2.0, 0.1, ["0", "1"], [1.0, 4.0])
    assert long.mean == 2.5 and long.lower
    assert BenchmarkScore("bleu", 0.7, None, [], []).mean == 0.7
    assert BenchmarkScore("word_perplexity", 9.0, None, [], []).lower


def outcome(choice, seed, values, method=None, budget="20%", tokens=100, rows=20):
    scores = {
        "quiz": BenchmarkScore("acc", float(np.mean(values)), 0.1, [str(n) for n in range(len(values))], list(values)),
        "heldout": BenchmarkScore("nll per token", 2.5 + seed / 10, 0.1, [], []),
    }
    return Outcome(
        line=("m", choice, budget), method=choice if method is None else method, seed=seed, rows=rows, steps=3,
        tokens=tokens, loss=1.5, train_seconds=9.0, passes=5.0, select_seconds=7.0, scores=scores, eval_seconds=4.0,
    )  # fmt: skip


OUTCOMES = [
    outcome("base", 0, [0, 0, 0, 0], method="", budget=""),
    outcome("full", 0, [1, 0, 0, 0], budget="", rows=100),
    outcome("random", 0, [1, 0, 1, 0]),
    outcome("random", 1, [1, 0, 0, 0]),
    outcome("Ours", 0, [1, 1, 1, 0], method="selectit"),
]


def test_means_and_spreads_by_hand():
    header, lines = tables.result_table(OUTCOMES)
    assert header == [
        "model", "choice", "budget", "rows", "seeds", "quiz (acc)", "heldout (nll per token, less is better)", "AVG"
    ]  # fmt: skip
    assert lines[2] == ["m", "random", "20%", "20", "2", "37.5 ± 17.7", "2.550 ± 0.071", "37.5 ± 17.7"]
    assert lines[3] == ["m", "Ours", "20%", "20", "1", "75.0", "2.500", "75.0"]


def test_differences_by_hand():
    header, lines = tables.difference_table(OUTCOMES, tables.compare_lines(OUTCOMES, "random"))
    assert header == ["model", "choice", "budget", "quiz (acc)"]
    assert [line[:3] for line in lines] == [["m", "Ours", "20%"]]
    assert lines[0][3].startswith("+37.5 (")  # items: 0, 1, 0.5, 0
    _, lines = tables.difference_table(OUTCOMES, tables.compare_lines(OUTCOMES, "full"))
    assert [line[1] for line in lines] == ["random", "Ours"]
    assert lines[1][3].startswith("+50.0 (")
    assert tables.compare_lines(OUTCOMES[3:], "full") == {}
    found = tables.pair_outcomes([OUTCOMES[4]], OUTCOMES[2:4], "quiz")
    assert found.value == pytest.approx(0.375) and found.low <= 0.375 <= found.high


def test_the_other_formats():
    lines = tables.render_csv(OUTCOMES).splitlines()
    assert len(lines) == 1 + 2 * len(OUTCOMES) and lines[1].startswith(
        "m,base,,0,20,3,100,9.0,5.0,7.0,quiz,acc,0.0,0.1,4"
    )
    tex = tables.render_latex(OUTCOMES)
    assert r"random & 20\% & 20 & 2 & 37.5 $\pm$ 17.7" in tex and tex.count(r"\\") == 1 + 4
    report = sections.render_markdown(["note"], sections.build_sections(OUTCOMES, []))
    assert "| m | Ours | 20% | 5 | 7 | 3 | 100 | 9 | 0.78 | 0.78 | 1.500 | 4 |" in report


def test_cells_with_unequal_benchmarks_are_shown_where_they_have_them():
    """COMET's command may be there for some cells only; an average over fewer benchmarks is another figure."""
    whole, part = outcome("random", 0, [1, 0]), outcome("Ours", 0, [1, 1], method="selectit")
    more = {"comet": BenchmarkScore("COMET", 0.8, None, ["0"], [0.8])}
    whole = dataclasses.replace(whole, scores={**whole.scores, **more})
    for some in ([whole, part], [part, whole]):
        lines = {line[1]: line for line in tables.result_table(some)[1]}
        assert lines["random"][-2:] == ["80.0", "65.0"] and lines["Ours"][-2:] == ["-", "-"]
        differences = tables.difference_table(some, tables.compare_lines(some, "random"))[1]
        assert [line[-1] for line in differences] == ["-"]
        assert "random" in sections.render_markdown([], sections.build_sections(some, []))


def test_random_rows_are_those_of_the_plain_choice():
    balanced = outcome("balanced", 0, [0, 0, 0, 0], method="random")
    found = tables.compare_lines([balanced, *OUTCOMES], "random")
    assert found["m", "Ours", "20%"]["quiz"].value == pytest.approx(37.5)


def test_a_list_of_rows_is_compared_with_as_many_random_ones():
    listed = outcome("LIMA", 0, [1, 1, 1, 0], method="fixed", budget="")
    found = tables.compare_lines([*OUTCOMES, listed], "random")
    assert found["m", "LIMA", ""]["quiz"].value == pytest.approx(37.5)
    assert set(found) == {("m", "Ours", "20%"), ("m", "LIMA", "")}
    assert tables.compare_lines(
        [*OUTCOMES, outcome("LIMA", 0, [1], method="fixed", budget="", rows=7)], "random"
    ).keys() == {("m", "Ours", "20%")}


def test_a_budget_of_another_data_set_is_another_number_of_rows():
    other = dataclasses.replace(outcome("LIMA", 0, [1, 1, 1, 0], method="random", rows=7), data="lima.json")
    assert ("m", "LIMA", "20%") not in tables.compare_lines([*OUTCOMES, other], "random")
    as_many = dataclasses.replace(other, rows=20, line=("m", "LIMA", "50%"))
    found = tables.compare_lines([*OUTCOMES, as_many], "random")
    assert found["m", "LIMA", "50%"]["quiz"].value == pytest.approx(37.5)


def test_another_data_set_is_read_its_own_way(folder):
    text = small_file("tiny").replace("[settings]", "[settings]\nlimit = 5\nmap = 'instruction=q,response=a'")
    Path("e.toml").write_text(text + "[[choices]]\nmethod = 'full'\ndata = 'lima.json'\nsettings = { turns = 'each' }")
    found = load("e.toml", "data.json")
    own, other = (settings.merge_settings(found, choice) for choice in (found.choices[0], found.choices[-1]))
    assert (own.limit, own.map, own.turns, own.engine) == (5, "instruction=q,response=a", "last", "fake")
    assert (other.limit, other.map, other.turns, other.engine) == (None, None, "each", "fake")
    rated = dataclasses.replace(found.choices[-1], settings={"turns": "each", "prompts": "yes-no"})
    assert rated.source == found.choices[-1].source != dataclasses.replace(rated, settings={}).source


def test_losses_alone_have_no_average():
    loss = {"heldout": OUTCOMES[0].scores["heldout"]}
    header, lines = tables.result_table([dataclasses.replace(each, scores=loss) for each in OUTCOMES])
    assert header[-1] == "heldout (nll per token, less is better)" and {len(line) for line in lines} == {len(header)}


# A whole one


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    pytest.importorskip("trl")
    import tiny

    return tiny.build_chat(tmp_path_factory.mktemp("chat"))


@pytest.fixture
def small(folder, tiny_model):
    rows = [{"instruction": f"question number {n}", "output": " ".join(["word"] * (2 + n % 5))} for n in range(16)]
    Path("data.json").write_text(json.dumps(rows))
    Path("heldout.json").write_text(json.dumps([{"instruction": "question number 3", "output": "word word word"}] * 3))
    Path("e.toml").write_text(small_file(tiny_model))
    return load("e.toml", "data.json")


def figures(finished):
    """Everything but the seconds."""
    return [
        (each.line, each.seed, each.rows, each.steps, each.tokens, each.loss, each.scores) for each in finished.outcomes
    ]


def test_a_whole_experiment(small, monkeypatch):
    finished = experiment.experiment(small, "out")
    assert finished.clean.left_out == 1 and finished.clean.rows == 15
    assert [each.rows for each in finished.outcomes] == [0, 15, 3, 3, 3, 3]
    assert "read 8 rows: of larger choices only so many" in finished.report
    assert "1 left out" in finished.report and Path("out/results.tex").is_file()
    assert "Which choice was worth it?" in finished.page.read_text() and " has the best " in finished.report
    subset = json.loads(next(Path("out/subsets").glob("*random*s0*")).read_text())
    assert len(subset) == 3 and all(row["instruction"] != "question number 3" for row in subset)
    assert not list(Path("out/models").iterdir())  # the weights are gone
    # Other rows, another model. (Seeds that saw the same three rows in every step differ by rounding alone.)
    losses = {each.scores["heldout heldout.json"].value for each in finished.outcomes if not each.seed}
    assert len(losses) == 4
    monkeypatch.setattr(cell, "train", None)  # whoever calls it fails
    monkeypatch.setattr(cell, "evaluate", None)
    assert figures(experiment.experiment(small, "out")) == figures(finished)


def test_an_interrupted_experiment_goes_on(small, monkeypatch):
    whole = experiment.experiment(small, "whole")
    trained, evaluated = [], []
    train, evaluate = training_train.train, evaluation_evaluate.evaluate

    def counted(*given, **named):
        result = train(*given, **named)
        trained.extend([result.path.name] * result.fresh)
        return result

    def stopping(models, given):
        if len(evaluated) in (1, 3):
            evaluated.append("stop")
            raise KeyboardInterrupt
        evaluated.append(models[0])
        return evaluate(models, given)

    monkeypatch.setattr(cell, "train", counted)
    monkeypatch.setattr(cell, "evaluate", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            experiment.experiment(small, "out")
    assert figures(experiment.experiment(small, "out")) == figures(whole)
    assert len(trained) == len(set(trained)) == 5  # no training twice


def test_what_decides_nothing_may_change_and_what_decides_may_not(small):
    finished = experiment.experiment(small, "out")
    quicker = dataclasses.replace(
        small,
        recipe=dataclasses.replace(small.recipe, micro_batch=1),
        settings=dataclasses.replace(small.settings, batch_tokens=999),
        evaluation=dataclasses.replace(small.evaluation, batch_size=1),
    )
    assert figures(experiment.experiment(quicker, "out")) == figures(finished)
    Path("heldout.json").write_text(json.dumps([{"instruction": "another", "output": "word"}] * 3))
    with pytest.raises(RunError, match="with other settings|another experiment"):
        experiment.experiment(small, "out")


def test_weights_that_a_kill_left_are_removed(small):
    experiment.experiment(small, "out")
    left = Path("out/models") / next(Path("out/cells").glob("*random*")).stem
    left.mkdir(parents=True)
    experiment.experiment(small, "out")
    assert not left.exists()


def test_a_method_that_tunes_on_the_way(small):
    """Its models are told of in the plan, and their weights go with those of the cell."""
    Path("quick.toml").write_text("batch_size = 2\nmicro_batch = 1\nmax_tokens = 64\nwarmup_ratio = 0\n")
    param = "rounds=1;epochs=1;recipe=quick.toml"
    tuning = with_choice(small, f"diverse-evol:{param}", settings={"engine": "hf"})
    tuning = dataclasses.replace(tuning, base=False, seeds=(0,))
    said = "on the way at most 1 trainings of 1 steps and 15 passes of tuned models"
    assert said in "\n".join(planned(tuning, "planned"))
    (made,) = experiment.experiment(tuning, "out").outcomes
    assert (made.rows, made.passes) == (3, 1) and made.select_seconds > 0
    assert list(Path("out/run/tuned").glob("*/training.json"))
    assert not list(Path("out").glob("run/tuned/*/*.safetensors"))
    others = [Path("out/run/tuned") / name for name in ("asked-next/model.safetensors", "begun/work/model.safetensors")]
    for file in others:  # of cells that are not finished
        file.parent.mkdir(parents=True)
        file.touch()
    experiment.experiment(tuning, "out")
    assert all(file.exists() for file in others)


def test_other_settings_need_another_folder(small):
    experiment.experiment(small, "out")
    other = dataclasses.replace(small, recipe=dataclasses.replace(small.recipe, steps=3))
    with pytest.raises(RunError, match="with other settings"):
        experiment.experiment(other, "out")


def test_a_search_for_the_size(small, monkeypatch):
    pytest.importorskip("optuna")
    choice = settings.Choice(method="length", budgets=("25%", "search"))
    searching = dataclasses.replace(
        small, choices=(choice,), base=False, seeds=(0,), search=settings.Search(trials=5, low=20, high=60)
    )
    finished = experiment.experiment(searching, "out")
    assert finished.outcomes[0].line[2] == "25%"
    tried = {each.line[2]: each.scores["heldout heldout.json"].value for each in finished.outcomes}
    assert 3 <= len(tried) <= 6 and all(20 <= int(budget[:-1]) <= 60 for budget in tried)
    best = re.search(r"is best with (\d+%) by heldout heldout.json", finished.report)[1]
    assert tried[best] == min(value for budget, value in tried.items() if budget != "25%" or best == "25%")
    monkeypatch.setattr(cell, "train", None)  # begun again, it asks for the same sizes
    assert figures(experiment.experiment(searching, "out")) == figures(finished)


def test_a_choice_from_another_data_set(small, capfd):
    rows = [{"conversations": [f"another question {n}", f"its answer {n}"]} for n in range(4)]
    rows[1]["conversations"][0] = "question number 3"  # the evaluation asks it
    Path("lima.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = Path("e.toml").read_text() + (
        "[[choices]]\nmethod = 'full'\ndata = 'lima.jsonl'\n"
        "[[choices]]\nmethod = 'random'\ndata = 'lima.jsonl'\nname = 'one of LIMA'\nbudgets = ['1']\nseeds = [0]\n"
    )
    Path("e.toml").write_text(text)
    code, out, _ = run(capfd, "experiment", "e.toml", "--data", "data.json", "--out", "out", "--plan")
    assert code == 0 and "lima.jsonl: 3 rows, 1 left out" in out and "tuning: 16 steps" in out
    finished = experiment.experiment(load("e.toml", "data.json"), "out")
    model = finished.outcomes[0].line[0]
    assert "15 rows of data.json, 1 left out; 3 rows of lima.jsonl, 1 left out since the evaluation" in finished.report
    rows_of = {each.line[1:]: each.rows for each in finished.outcomes}
    assert rows_of["full of lima", ""] == 3 and rows_of["one of LIMA", "1"] == 1 and rows_of["full", ""] == 15
    subset = Path(next(Path("out/subsets").glob("*full-of-lima*.jsonl"))).read_text().splitlines()
    assert [json.loads(line) for line in subset] == [rows[0], rows[2], rows[3]]
    to_random = tables.compare_lines(finished.outcomes, "random")
    assert (model, "full of lima", "") in to_random  # as many rows as random ones of the experiment's own data
    to_all = tables.compare_lines(finished.outcomes, "full")
    assert (model, "full of lima", "") in to_all and (model, "full", "") not in to_all
    assert (model, "one of LIMA", "1") not in to_random  # no random rows of that number but its own


def with_choice(small, method, **more):
    return dataclasses.replace(small, choices=(settings.Choice(method=method, **more),))


def test_what_choosing_would_refuse_is_refused_first(small, monkeypatch):
    monkeypatch.setattr(cell, "train", None)
    monkeypatch.setattr(cell, "evaluate", None)
    with pytest.raises(SettingsError, match="length, budget 1000: 1,000 rows were asked for and there are 15"):
        experiment.experiment(with_choice(small, "length", budgets=("1000",)), "out")
    Path("rows.txt").write_text("1\n2\n")  # row 3 is left out, so that later numbers are of other rows
    for method in ("fixed:file=rows.txt", "random:exclude=rows.txt"):
        with pytest.raises(SettingsError, match="rows.txt names rows by number, and 1 rows"):
            experiment.experiment(with_choice(small, method), "out")
    Path("lima.json").write_text(json.dumps([{"instruction": "not there", "output": "x"}]))
    with pytest.raises(DataError, match=r"lima\.json"):
        experiment.experiment(with_choice(small, "fixed:file=lima.json"), "out")


def test_changed_data_is_another_experiment(small):
    plan.plan(dataclasses.replace(small, choices=small.choices[:1]), "out")
    Path("data.json").write_text(json.dumps([{"instruction": "other", "output": "word"}] * 9))
    with pytest.raises(RunError, match="out holds another experiment") as error:
        experiment.experiment(small, "out")
    assert "--out" in error.value.hint


def test_a_changed_selection_is_another_choice(small):
    """A parameter may be the folder of a selection."""
    Path("kept").mkdir()
    experiment = with_choice(small, "random:exclude=kept")
    chosen = settings.list_cells(experiment)[-1]
    marks = []
    for content in (b"a", b"b", b"a"):
        Path("kept/rows.parquet").write_bytes(content)
        marks.append(cell.fingerprint_cell(experiment, chosen, "digest", 16))
    assert marks[0] == marks[2] != marks[1]


def test_subsets_have_the_ending_of_their_format(small):
    text = "".join(json.dumps(row) + "\n" for row in json.loads(Path("data.json").read_text()))
    Path("data.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    one = dataclasses.replace(with_choice(small, "random"), data="data.jsonl.gz", base=False, seeds=(0,))
    experiment.experiment(one, "out")
    assert [path.name.partition(".")[2] for path in Path("out/subsets").iterdir()] == ["jsonl.gz"]


def test_tasks_that_are_not_run_are_said(small):
    evaluation = dataclasses.replace(small.evaluation, suite="paper", data_dir=None)
    other = dataclasses.replace(small, evaluation=evaluation)
    notes = " ".join(experiment.list_notes(cell.ExperimentFolder(other, Path("out"), clean_of(small)), []))
    assert "Not evaluated: humaneval, it runs code" in notes and "alpacaeval" in notes


def clean_of(small):
    clean = CleanData(
        name="data.json",
        run=Run(Path("out/run"), {}),
        path="data.json",
        suffix=".json",
        source="digest",
        rows=16,
        left_out=0,
        unknown=(),
    )
    return {"": clean}


def planned(experiment, out="out"):
    """The lines of the plan where nothing is measured."""
    on_ray = dataclasses.replace(experiment.settings, executor="ray")
    return plan.plan(dataclasses.replace(experiment, settings=on_ray), out)


def test_what_raters_are_asked_is_counted_once(small):
    (model,) = small.models
    shutil.copytree(model, "twin")
    Path("lima.json").write_text(json.dumps([{"instruction": f"say {n}", "output": "word"} for n in range(5)]))
    both = settings.Choice(method="selectit:k=2;level=model", rater=("a", "b"))
    once, again = (settings.Choice(method=f"selectit:k=2;alpha={alpha}", rater="a") for alpha in (0.2, 0.5))
    other = dataclasses.replace(again, data="lima.json", budgets=("40%",))

    def asked(*choices):
        two = dataclasses.replace(small, models=(model, "twin"), choices=choices)
        return re.findall(r"choosing: (\d+) ratings, at most 0 other", "\n".join(planned(two, str(len(choices)))))

    assert asked(both) == asked(both, once) == asked(both, once, again) == ["60", "0"]  # 2 raters, 2 prompts, 15 rows
    assert asked(both, once, again, other) == ["70", "0"]  # the rows are others


def test_what_other_models_are_asked_is_counted_once(small):
    """Of choices whose other settings differ, and of a second base model, which an encoder has nothing to do with."""
    (model,) = small.models
    shutil.copytree(model, "twin")
    near, far = (settings.Choice(method=name, settings={"encoder": "minilm"}) for name in ("kmeans", "kcenter"))
    loss = settings.Choice(method="perplexity")
    same = settings.Choice(method="perplexity:policy=high", settings={"encoder": "minilm"})

    def asked(*choices):
        two = dataclasses.replace(small, models=(model, "twin"), choices=choices)
        return re.findall(r"choosing: 0 ratings, at most (\d+) other", "\n".join(planned(two, str(len(choices)))))

    assert asked(loss) == asked(loss, same) == ["15", "15"]  # each base model reads the 15 rows once
    assert asked(near) == ["15", "0"]  # the encoder is one
    assert asked(near, far, loss, same) == ["30", "15"]


def test_the_time_to_evaluate_is_that_of_the_base_model(small, monkeypatch):
    assert planned(small)[-1] == "evaluating 6 cells: the time is known when the first of each base model is done"
    base = dataclasses.replace(outcome("base", 0, [1]), line=settings.list_cells(small)[0].line, eval_seconds=60.0)
    monkeypatch.setattr(plan, "read_outcome", lambda place, each: base if each.choice is None else None)
    assert planned(small)[-1] == "evaluating 5 cells: about 5.0 minutes, as those that are done took"


def test_trials_that_are_done_are_not_to_be_done(small, monkeypatch):
    search = settings.Search(trials=3, low=20, high=60)
    recipe = dataclasses.replace(small.recipe, steps=None, epochs=1.0, batch_size=1, micro_batch=1)
    length = with_choice(small, "length", budgets=("search",))
    searching = dataclasses.replace(length, base=False, search=search, recipe=recipe)
    monkeypatch.setattr(
        plan, "read_outcome", lambda place, each: OUTCOMES[2] if each.budget in ("30%", "50%") else None
    )
    lines = "\n".join(planned(searching))
    assert "searched: at most 1 cells more, of 20 to 60 %" in lines
    assert "tuning: 6 steps, " in lines  # the middle size: 40 % of 15 rows


def test_the_command(small, capfd):
    code, out, _ = run(capfd, "experiment", "e.toml", "--data", "data.json", "--out", "out", "--plan")
    assert code == 0 and "15 rows, 1 left out" in out
    assert re.search(r"SelectIT-25-s1-\w{6}: 3 rows, 2 training steps", out)
    assert re.search(r"choosing: [\d,]+ ratings, .* \(about [\d.]+ minutes for what is not there yet, measured\)", out)
    assert re.search(r"tuning: 10 steps, about [\d,]+ tokens \(\d+ a row.*\), about [\d.]+ minutes at", out)
    assert not Path("out/rehearsal").exists() and not list(Path("out/run").glob("ratings/*"))
    code, out, _ = run(capfd, "experiment", "e.toml", "--data", "data.json", "--out", "out")
    assert code == 0 and "What each choice cost" in out and "tables: out/results.md" in out
    code, out, _ = run(capfd, "experiment", "e.toml", "--data", "data.json", "--out", "out", "--plan")
    assert code == 0 and out.count(": done") == 6
