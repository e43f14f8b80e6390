"""`selectit probe` and `tune-prompts`: the whole way, with made-up numbers, and with a method that knows."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import selectit
from commandline import run
from own_methods import HALF
from rundirs import read_json
from selectit.config.settings import Settings
from selectit.errors import DataError, SettingsError
from selectit.probing.defects import KINDS, ORIGINAL
from selectit.probing.measure import (
    DETECTS,
    DETECTS_NONE,
    JUDGES,
    JUDGES_NOT,
    JUDGES_WRONG,
    agreement,
    planted_verdict,
    preference_table,
)
from selectit.probing.report import name_result
from selectit.probing.rows import create_probe_run, draw_rows, parse_labels
from selectit.probing.verdicts import DETECTED, NOT_TOLD, PREFERRED
from selectit.runs.annotators import annotators
from selectit.runs.run import open_run
from selectit.runs.source import create_pairs_run
from selectit.runs.stored import load_arrays
from selectit.signals import prompts

FAKE = Settings(engine="fake", model="m", run="run", k=2)
WORDS = "one two three four five six seven eight nine ten eleven twelve".split()

KNOWS = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Knows:
    """Knows which rows are planted: a good response says so."""

    sign: float = 1.0
    needs: ClassVar[tuple[str, ...]] = ("texts",)
    label: ClassVar[str] = "knows"

    def score(self, signals):
        sums = [sum(int(word) for word in each.instruction.split() if word.isdigit()) for each in signals.texts]
        good = [each.response.startswith("The true ") and each.response.endswith(f"{each.instruction} = {right}.")
                for each, right in zip(signals.texts, sums)]
        return self.sign * np.array(good, np.float64)
'''


@pytest.fixture
def alpaca(folder):
    """60 rows, each with long and different responses; 40 calculate; `grade` is 1 to 5."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(60):
        question = f"Add {n} and {n + 3}" if n < 40 else f"Tell me about thing {n}"
        words = " ".join(rng.permutation(WORDS))
        rows.append(
            {
                "instruction": question,
                "input": "",
                "output": f"The true {words} {question} = {2 * n + 3 if n < 40 else n}.",
                "grade": n % 5 + 1,
            }
        )
    Path("data.json").write_text(json.dumps(rows))
    Path("knows.py").write_text(KNOWS)
    return "data.json"


def test_one_who_knows_detects_every_kind(alpaca):
    found = selectit.probe(alpaca, Settings(method="./knows.py:Knows", run="run"), sample=50)
    result = found.results[0]
    assert result.verdict == DETECTS
    assert {facts.kind for facts in result.kinds} == set(KINDS) - {"other-language"}
    assert all(facts.verdict == DETECTED and facts.wins.value == 1 for facts in result.kinds)
    assert found.counts["other-language"] == 0 and found.counts[ORIGINAL] == found.rows == 50
    assert (result.model, result.prompts, result.mass, result.agreement) == ("", "", None, None)


def test_one_who_knows_and_lies_prefers_the_defects(alpaca):
    own = Settings(method="./knows.py:Knows", param={"sign": "-1"}, run="run")
    result = selectit.probe(alpaca, own, sample=50).results[0]
    assert result.verdict.startswith(f"{DETECTS_NONE}; prefers the defect: ")
    assert {facts.verdict for facts in result.kinds} == {PREFERRED}


def test_noise_detects_nothing(alpaca):
    """One draw of each: what holds over many seeds is tested of the statistics alone."""
    names = [
        "selectit",
        "selectit:profile=official",
        "expected-rating",
        "calibrated",
        "calibrated:by=batch",
        "contrast",
    ]
    found = selectit.probe(alpaca, FAKE, names, sample=40)
    assert [result.method for result in found.results][:2] == [
        "selectit-sentence-paper-k2-a0.2",
        "selectit-sentence-official-k2-a0.2",
    ]
    assert len(found.results) == len(names)
    for result in found.results:
        assert sum(facts.verdict == NOT_TOLD for facts in result.kinds) >= 7
        assert result.mass == pytest.approx(0.9, abs=1e-3) and result.wins is not None and result.wins.low < 0.5


def test_nothing_is_rated_twice_and_the_same_seed_draws_the_same(alpaca):
    first = selectit.probe(alpaca, FAKE, sample=30)
    parts = {path: path.stat().st_mtime_ns for path in Path("run").rglob("part-*")}
    again = selectit.probe(alpaca, FAKE, sample=30)
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("part-*")} == parts
    other = selectit.probe(alpaca, FAKE, sample=30, seed=1)
    assert other.folder != first.folder and other.results[0].wins != first.results[0].wins


def test_the_originals_of_a_probe_are_the_pairs_of_the_data(alpaca):
    selectit.probe(alpaca, FAKE, sample=30)
    run_of_data = open_run("run")
    rows = draw_rows(run_of_data, 30, 0)
    probed = create_probe_run(Path("run/probes/planted-30-s0"), rows)
    samples = probed.samples(0, probed.rows)
    assert [(s.instruction, s.response) for s in samples] == [(row.instruction, row.response) for row in rows]
    assert [row.kind for row in rows[:30]] == [ORIGINAL] * 30


def test_models_prompt_sets_and_methods_in_one_table(alpaca):
    both = Settings(engine="fake", model=("a", "b"), run="run", k=2)
    found = selectit.probe(alpaca, both, ["expected-rating", "length:unit=words"], ["default", "yes-no"], sample=30)
    names = [(result.method, result.model, result.prompts) for result in found.results]
    assert sorted(names) == sorted(
        [("expected-rating-k2", model, name) for model in "ab" for name in ("default", "yes-no")]
        + [("length-words", "", "")]
    )
    assert len({result.scores for result in found.results}) == 5


def test_your_own_labels(alpaca):
    by_grade = selectit.probe(
        alpaca, Settings(run="run", method="field", param={"name": "of"}), labelled="grade>=4", sample=20
    )
    assert by_grade.counts == {"good": 20, "bad": 20} and by_grade.results[0].kinds == ()
    Path("words.json").write_text(
        json.dumps(
            [
                {"instruction": f"q{n}", "output": "word " * (n + 1), "mark": "up" if n > 29 else "down"}
                for n in range(60)
            ]
        )
    )
    long = Settings(run="run2", method="length")
    found = selectit.probe("words.json", long, labelled="mark=up", sample=30).results[0]
    assert found.verdict == JUDGES and found.auroc is not None and found.auroc.value == 1 and found.p < 1e-6
    short = Settings(run="run2", method="length", param={"order": "shortest"})
    assert selectit.probe("words.json", short, labelled="mark=up", sample=30).results[0].verdict == JUDGES_WRONG


@pytest.mark.parametrize("text", ["grade", "grade>=high", "=x", "grade>="])
def test_labels_that_say_nothing(text):
    with pytest.raises(SettingsError, match="--labelled"):
        parse_labels(text)


@pytest.mark.parametrize("text", ["a==b", "a<=4", "a!=b", "a>4", "a<>4"])
def test_other_operators_are_refused_by_name(text):
    with pytest.raises(SettingsError, match="only '=' and '>='"):
        parse_labels(text)


def test_labels_of_numbers_and_booleans():
    assert [parse_labels("a=4").good(text) for text in ("4.0", "4", "5", "nan", "x")] == [
        True,
        True,
        False,
        None,
        False,
    ]
    assert [parse_labels("ok=true").good(text) for text in ("True", "true", "False")] == [True, True, False]
    assert parse_labels("a>=4").good("NaN") is None
    with pytest.raises(SettingsError, match="is not a number"):
        parse_labels("a>=nan")


def test_labels_by_value_and_number():
    assert [parse_labels("a.b>=4.5").good(text) for text in ("4.5", "4", "", "none")] == [True, False, None, None]
    assert [parse_labels("mark = up").good(text) for text in ("up", "Up", " ")] == [True, False, None]


def test_what_can_not_be_probed(alpaca, rows):
    with pytest.raises(SettingsError, match="scores no rows"):
        selectit.probe(alpaca, FAKE, ["full"])
    with pytest.raises(SettingsError, match="--sample is 5"):
        selectit.probe(alpaca, FAKE, sample=5)
    with pytest.raises(DataError, match="0 good rows by grade>=6"):
        selectit.probe(alpaca, FAKE, labelled="grade>=6")
    Path("few.json").write_text(json.dumps(rows[:5]))
    with pytest.raises(DataError, match="5 rows with a response among those drawn, and at least 10 are needed"):
        selectit.probe("few.json", Settings(engine="fake", model="m", run="few"))


def test_the_command(alpaca, capfd):
    arguments = ["probe", alpaca, "--run", "run", "--engine", "fake", "--model", "m", "--k", 2, "--sample", 30]
    code, out, _ = run(capfd, *arguments, "--methods", "selectit,length:unit=words")
    assert code == 0
    assert "30 rows of data.json and their planted defects (seed 0)" in out
    assert "not planted, since they fit fewer than 10 of the rows: other-language" in out
    assert "length-words: detects some planted defects: " in out and "What to try: " in out
    code, out, _ = run(capfd, *arguments, "--json")
    assert [each["kind"] for each in json.loads(out)["results"][0]["kinds"]] == [
        k for k in KINDS if k != "other-language"
    ]
    code, out, _ = run(capfd, "show", "run")
    assert (
        "probe of 30 rows, planted defects, seed 0" in out
        and "prompts default (engine fake): " in out
        and "length-words: detects some" in out
    )
    code, _, err = run(capfd, *arguments, "--labelled", "nothing")
    assert code == 2 and "--labelled is 'nothing'" in err


def test_preferences_of_rows_without_a_kind(alpaca):
    selectit.probe(alpaca, FAKE, sample=30)
    rows = draw_rows(open_run("run"), 30, 0)
    table = preference_table(np.arange(len(rows), 0, -1.0), rows)
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    assert table.shape == (30, len(kinds))
    assert np.nanmin(table) == 1  # originals stand first, and higher
    numbers = sum(row.kind == "wrong-number" for row in rows)
    assert np.isnan(table[:, kinds.index("wrong-number")]).sum() == 30 - numbers


def test_tuned_prompts(alpaca, capfd):
    arguments = ["tune-prompts", alpaca, "--run", "run", "--engine", "fake", "--model", "m", "--sample", 40, "--k", 3]
    code, out, _ = run(capfd, *arguments, "--out", "tuned.toml")
    assert code == 0 and "wrote tuned.toml: 3 of 9 prompts" in out
    tuned = prompts.load("tuned.toml")
    assert tuned.name == "default-tuned" and len(tuned.texts) == 3 and set(tuned.texts) < set(prompts.packaged().texts)
    code, _, err = run(capfd, *arguments, "--out", "tuned.toml")
    assert code == 2 and "is there already" in err
    code, _, err = run(capfd, *arguments, "--k", 9, "--out", "all.toml")
    assert code == 2 and "the pool has 9 prompts" in err
    selectit.select(None, Settings(run="run/probes/planted-40-s0/run", prompts="tuned.toml", k=3, out="x.jsonl"))


def test_tuning_picks_the_prompt_that_knows():
    """Of four made-up prompts one tells every defect, one half of them, two are noise."""
    from selectit.probing.defects import Corrupted
    from selectit.probing.tune_prompts import pick, split_halves

    rng = np.random.default_rng(0)
    rows = [Corrupted(n, ORIGINAL, "q", "a") for n in range(80)] + [
        Corrupted(n, "swapped", "q", "b") for n in range(80)
    ]
    truth = np.r_[np.ones(80), np.zeros(80)]
    ratings = np.stack(
        [rng.random(160), truth * 0.3 + rng.random(160), rng.random(160), truth * 2 + rng.random(160)], axis=1
    )
    picking, telling = split_halves(rows)
    picked, alone = pick(ratings, rows, picking, 2)
    assert picked[0] == 3 and alone[3] == 1 and alone[1] > alone[0]
    assert not set(picking) & set(telling) and len(picking) + len(telling) == 80


def test_a_probe_without_pairs_or_kinds_says_nothing(folder):
    """The words of a row are those of all its answers, but the last one is probed."""
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a long answer"}]
    rows = [{"messages": [*talk, talk[0], {"role": "assistant", "content": " "}]} for _ in range(40)]
    Path("talk.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="0 rows with a response among those drawn"):
        selectit.probe("talk.json", Settings(engine="fake", model="m", run="run"))
    assert planted_verdict(()) == DETECTS_NONE


def test_nothing_is_said_of_scores_that_are_missing(alpaca, capfd):
    Path("half.py").write_text(HALF)
    arguments = ["probe", alpaca, "--run", "run", "--sample", 40]
    code, out, _ = run(capfd, *arguments, "--methods", "./half.py:Half:rows=21")
    assert code == 0 and "detected (no score)" in out
    code, _, err = run(capfd, *arguments, "--methods", "length:unit=words,./half.py:Half:rows=19")
    assert code == 2 and "half has no score of 21 of 40 rows" in err and "--row N" in err
    stored = json.loads(Path("run/probes/planted-40-s0/results.json").read_text())
    assert [each["method"] for each in stored["results"]] == ["half", "length-words"]
    with pytest.raises(DataError, match="40 of 40 rows without a planted defect: .* words, the limit is 20"):
        selectit.probe(alpaca, replace(FAKE, max_tokens=20), sample=40)
    with pytest.raises(DataError, match="40 of 40 originals have no rating"):
        selectit.tune_prompts(alpaca, "tuned.toml", replace(FAKE, max_tokens=20), sample=40)


def test_results_of_different_settings_are_kept_and_named(alpaca):
    own = Path("own.txt")
    names = []
    for settings, prompt in (
        (FAKE, "default"),
        (replace(FAKE, chat=True), "default"),
        (replace(FAKE, labels=("a", "b")), "default"),
        (replace(FAKE, layout="sample-first"), "default"),
        (replace(FAKE, max_tokens=64), "default"),
        (FAKE, "own.txt"),
        (FAKE, "own.txt"),
    ):
        own.write_text(f"How good is it?\nIs it right? {len(names)}")
        found = selectit.probe(alpaca, settings, ["expected-rating"], [prompt], sample=30)
        names.append(name_result(found.results[0]))
    first = "expected-rating-k2 by m, prompts default (engine fake)"
    more = ("chat, ", "labels a b, ", "layout sample-first, ")
    assert names[:4] == [first, *(first.replace("(", f"({word}") for word in more)]
    assert names[4] == first.replace(")", ", max tokens 64)")
    stored = json.loads((found.folder / "results.json").read_text())["results"]
    assert len(stored) == len({each["digest"] for each in stored}) == len(set(names)) == 7


def test_results_of_an_older_version_go(alpaca):
    length = Settings(run="run", method="length", param={"unit": "words"})
    path = selectit.probe(alpaca, length, sample=30).folder / "results.json"
    stored = read_json(path)
    older = {key: value for key, value in stored["results"][0].items() if key not in ("digest", "differs")}
    path.write_text(json.dumps({**stored, "results": [older]}))
    Path("run/manifest.json").write_text(json.dumps(read_json("run/manifest.json")))  # a run without sums
    assert selectit.show("run")["probes"]
    selectit.probe(alpaca, length, sample=30)
    assert read_json(path) == stored


def test_parameters_that_the_label_leaves_out(alpaca):
    found = selectit.probe(alpaca, FAKE, ["contrast", "contrast:other=Nothing"], sample=30)
    assert [each.differs for each in found.results] == ["engine fake", "engine fake, other=Nothing"]
    assert len(json.loads((found.folder / "results.json").read_text())["results"]) == 2


def test_contrast_wins_the_pairs_of_the_expected_rating(alpaca):
    plain, contrast = selectit.probe(alpaca, FAKE, ["expected-rating", "contrast"], sample=30).results
    assert [each.wins for each in contrast.kinds] == [each.wins for each in plain.kinds]


def test_labelled_results_are_judged_together(alpaca):
    noisy = [{"instruction": f"q{n}", "output": "w", "good": n < 40} for n in range(80)]
    Path("noisy.json").write_text(json.dumps(noisy))
    Path("half.py").write_text(HALF)
    ranks = ["./half.py:Half:rows=80", "./half.py:Half:rows=80;sign=-1", "length:unit=words"]
    found = selectit.probe("noisy.json", Settings(run="noisy"), ranks, labelled="good=true", sample=40)
    assert [each.verdict for each in found.results] == [JUDGES_WRONG, JUDGES, JUDGES_NOT]
    alone = selectit.probe("noisy.json", Settings(run="noisy"), ranks[:1], labelled="good=true", sample=40)
    assert found.results[0].p == pytest.approx(3 * alone.results[0].p)


def test_empty_responses_are_bad_rows_too(folder):
    rows = [{"instruction": f"q{n}", "output": "word " * n if n > 20 else "", "ok": n > 20} for n in range(41)]
    Path("data.json").write_text(json.dumps(rows))
    found = selectit.probe("data.json", Settings(run="run", method="length"), labelled="ok=true", sample=20)
    assert found.counts == {"good": 20, "bad": 20} and found.results[0].verdict == JUDGES


def test_labels_have_folders_of_their_own_and_other_rows_a_fresh_one(alpaca):
    length = Settings(run="run", method="length")
    folders = [selectit.probe(alpaca, length, labelled=text, sample=20).folder for text in ("grade>=4", "grade=4")]
    assert folders[0] != folders[1]
    before = selectit.probe(alpaca, length, sample=30)
    assert before.folder.name == "planted-30-s0"
    shutil.rmtree(before.folder)
    create_pairs_run(before.folder, [{"prompt": "another", "completion": "pair"}])
    after = selectit.probe(alpaca, length, sample=30)
    assert after.folder.name.startswith("planted-30-s0-") and after.results == before.results
    assert selectit.probe(alpaca, length, sample=30).folder == after.folder


def test_damaged_rows_are_written_again(alpaca):
    length = Settings(run="run", method="length")
    before = selectit.probe(alpaca, length, sample=30)
    rows = before.folder / "rows.jsonl"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:100])
    assert selectit.probe(alpaca, length, sample=30) == before
    assert rows.read_bytes() == whole


def test_labels_that_fit_no_row_are_told_what_there_is(alpaca):
    with pytest.raises(DataError) as caught:
        selectit.probe(alpaca, FAKE, labelled="grade=good")
    assert caught.value.hint is not None and "Values of grade that occur: 1, 2, 3, 4, 5" in caught.value.hint
    with pytest.raises(DataError) as caught:
        selectit.probe(alpaca, FAKE, labelled="mark=good")
    assert "No row has a field 'mark'" in caught.value.hint


def test_a_run_is_probed_as_it_was_rated(alpaca):
    selectit.rate(alpaca, replace(FAKE, prompts="yes-no", chat=True))
    found = selectit.probe(None, Settings(run="run", k=2), ["expected-rating"], sample=30)
    result = found.results[0]
    assert (result.model, result.prompts, result.differs) == ("m", "yes-no", "chat, engine fake")


@pytest.mark.parametrize(
    ("methods", "prompt_sets"),
    [
        (["expected-rating"], ["default", "none.txt"]),
        (["selectit", "log-odds:k=9"], ["default", "aspects"]),
        (["expected-rating", "selectit:weights=1,2"], ["default"]),
    ],
)
def test_settings_are_checked_before_anything_is_rated(alpaca, methods, prompt_sets):
    with pytest.raises(SettingsError):
        selectit.probe(alpaca, FAKE, methods, prompt_sets, sample=30)
    assert not list(Path("run/probes").rglob("ratings"))


def test_small_prompt_sets_need_no_k(alpaca):
    found = selectit.probe(alpaca, replace(FAKE, k=None), ["expected-rating"], ["aspects", "default"], sample=30)
    assert [each.method for each in found.results] == ["expected-rating-k3", "expected-rating-k5"]


def test_mass_and_agreement_are_of_the_originals(alpaca):
    found = selectit.probe(alpaca, FAKE, ["expected-rating"], sample=30)
    probed = open_run(found.folder / "run")
    logprob = load_arrays(probed, annotators(probed), prompts.packaged().first(2)).logprob[:, 0].astype(np.float64)
    assert found.results[0].agreement == agreement(logprob[:30]) != agreement(logprob)


def test_time_is_that_of_what_was_rated(alpaca):
    found = selectit.probe(alpaca, FAKE, ["expected-rating", "calibrated"], sample=30)
    assert found.results[0].seconds_per_row == found.results[1].seconds_per_row
    probed = open_run(found.folder / "run")
    (timing,) = probed.timing().values()
    assert timing["ratings"] == 2 * probed.rows + 2  # and once the empty pair under either prompt


class Counted:
    """Progress that adds up."""

    def __init__(self):
        self.total = self.done = 0.0

    def start(self, what, total, done):
        self.total += total - done

    def advance(self, ratings, tokens):
        self.done += ratings

    def finish(self):
        return


def test_equal_rows_are_rated_once_and_count_once(folder):
    rows = [{"instruction": f"q{n % 7}", "output": "a word"} for n in range(60)]
    Path("data.json").write_text(json.dumps(rows))
    progress = Counted()
    selectit.rate("data.json", FAKE, progress)
    (timing,) = open_run("run").timing().values()
    texts = [prompt.render(f"q{n}", "a word") for n in range(7) for prompt in prompts.packaged().first(2)]
    assert timing["ratings"] == 14 and timing["tokens"] == sum(len(text.split()) for text in texts)
    assert progress.done == pytest.approx(progress.total) and progress.total == 120
