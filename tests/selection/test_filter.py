"""Filters, quotas and diversity as a user of `select` sees them: what goes, for which row, and what is stored of it."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import selectit
from rundirs import contents
from selectit.config.settings import Settings
from selectit.errors import DataError, RunError, SettingsError
from selectit.runs.run import open_run
from selectit.runs.verify import verify
from selectit.selection.filter_report import filter_lines
from selectit.selection.summary import from_plain, summary_lines

WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
PLAIN = Settings(method="field", param={"name": "score"}, run="run", out="out.json", rest="rest.json", force=True)


def changed(**changes):
    return dataclasses.replace(PLAIN, **changes)


@pytest.fixture
def pool(folder):
    """20 rows of three sources; row 5 says nearly what row 4 says and is better, row 6 asks what an evaluation asks."""
    rows = [
        {
            "instruction": f"Question {n} about {WORDS[n % 15]}?",
            "output": " ".join(WORDS[(n * k) % 15] + str(n) for k in range(12)),
            "source": "abc"[min(n // 8, 2)],
            "score": float(n * 7 % 20),
        }
        for n in range(20)
    ]
    rows[5] |= {"instruction": rows[4]["instruction"], "output": rows[4]["output"] + " indeed", "score": 15.5}
    rows[6]["instruction"] = "How many apples does Ann have left?"
    (folder / "pool.json").write_text(json.dumps(rows))
    (folder / "eval.json").write_text(
        json.dumps(
            [
                {"instruction": "Other?", "output": "x"},
                {"instruction": "how many apples does ann have left", "output": "3"},
            ]
        )
    )
    return rows


def rest_of(path="rest.json"):
    return {each["selectit"]["row"]: each["selectit"] for each in json.loads(Path(path).read_text())}


def lines_of(selected):
    return list(summary_lines(selected.summary, {}))


def test_what_is_left_out_says_why_and_for_which_row(pool):
    pytest.importorskip("rensa", reason="the extra 'filters' is not installed")
    selected = selectit.select("pool.json", changed(dedup="near", decontaminate="eval.json", keep="100%"))
    assert sorted(selected.selection.rows.tolist()) == [row for row in range(20) if row not in (4, 6)]
    rest = rest_of()
    assert rest.keys() == {4, 6}
    assert rest[4] == {
        "row": 4, "score": 8.0, "kept_row": 5,
        "why": "says nearly the same as a row that stays: row 5, Jaccard index 0.93",
    }  # fmt: skip
    assert rest[6]["why"] == "asks a question of eval.json: question 1" and "kept_row" not in rest[6]
    assert "left out: 1 row, which says nearly the same as a row that stays" in lines_of(selected)
    assert selected.summary.filters.left_out == {
        "asks a question of eval.json": 1,
        "says nearly the same as a row that stays": 1,
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"prompt": "How many apples does Ann have left?"},
        {"question": "How many apples does Ann have left?", "answer": "3"},
    ],
)
def test_questions_alone_are_left_out_too(pool, asked):
    Path("wanted.jsonl").write_text(json.dumps(asked))
    selectit.select("pool.json", changed(decontaminate="wanted.jsonl", keep="100%"))
    assert {row: each["why"] for row, each in rest_of().items()} == {6: "asks a question of wanted.jsonl: question 0"}


def test_a_share_is_of_the_rows_that_are_left(pool):
    selected = selectit.select("pool.json", changed(decontaminate="eval.json", keep="50%"))
    assert len(selected.selection.rows) == 9  # of 19
    with pytest.raises(SettingsError, match="there are 19 of 20 that no filter leaves out"):
        selectit.select(None, changed(decontaminate="eval.json", keep=20))


def test_the_row_with_the_better_score_stays_and_else_the_earlier(pool):
    pool[5]["output"] = pool[4]["output"].upper()
    Path("pool.json").write_text(json.dumps(pool))
    selectit.select("pool.json", changed(dedup="exact", keep="100%"))
    assert rest_of()[4]["kept_row"] == 5
    selectit.select(None, changed(method="full", param={}, dedup="exact", keep=None))
    assert rest_of().keys() == {5} and rest_of()[5]["kept_row"] == 4
    selectit.select(None, changed(method="random", param={}, dedup="exact", keep="100%"))
    assert len(rest_of()) == 1


def test_the_rest_is_stored_and_shown(pool, no_model):
    selected = selectit.select("pool.json", changed(dedup="exact", decontaminate="eval.json", by="source", keep=6))
    stored = pq.read_table(f"run/selections/{selected.name}/rest.parquet").to_pylist()
    written = rest_of()
    assert {each["row"]: each["why"] for each in stored} == {row: each["why"] for row, each in written.items()}
    assert {each["step"] for each in stored} == {"decontaminate", "quota"}
    known = selectit.show("run", 6)["selections"][selected.name]
    assert known == "not chosen: asks a question of eval.json: question 1; group a"
    shown = selectit.show("run")["selections"][selected.name]
    assert list(summary_lines(from_plain(json.loads(json.dumps(shown))), {})) == lines_of(selected)
    assert not verify("run").findings


@pytest.mark.parametrize("file", ["rest.parquet", "groups.parquet"])
def test_a_damaged_or_lost_reason_is_noticed_and_made_again(pool, file):
    settings = changed(by="source", keep=6)
    path = Path("run/selections") / selectit.select("pool.json", settings).name / file
    before = contents("run")
    for damage in (lambda: path.write_bytes(path.read_bytes()[:-100]), path.unlink):
        damage()
        assert [each.path for each in verify("run").findings] == [path]
        with pytest.raises(RunError, match=file):
            selectit.show("run", 6)
        selectit.select(None, settings)
        assert contents("run") == before and not verify("run").findings


def test_a_choice_without_filters_leaves_no_rest_of_one_with_filters(pool):
    selectit.select("pool.json", changed(by="source", keep=6, name="mine"))
    selectit.select(None, changed(keep=6, name="mine"))
    assert {path.name for path in Path("run/selections/mine").iterdir()} == {
        "config.toml",
        "rows.parquet",
        "summary.json",
    }


def test_quotas(pool):
    selected = selectit.select("pool.json", changed(by="source", shares="equal", keep=9))
    rows = selected.selection.rows
    assert np.bincount(np.minimum(rows // 8, 2)).tolist() == [3, 3, 3]
    assert (np.diff(selected.selection.scores) <= 0).all()
    for group in (range(8), range(8, 16), range(16, 20)):
        best = sorted(group, key=lambda row: -pool[row]["score"])[:3]
        assert set(best) == set(rows.tolist()) & set(group)
    assert "  a: 8 rows (40.0%), 3 kept (33.3%)" in lines_of(selected)
    assert selected.selection.why[0].endswith(", c") or ", " in selected.selection.why[0]
    proportional = selectit.select(None, changed(by="source", keep=10))
    assert [each.kept for each in proportional.summary.filters.groups] == [4, 4, 2]


@pytest.mark.parametrize("name", ["shares.json", "shares.toml"])
def test_shares_of_a_file(pool, name):
    text = '{"a": 3, "c": 1}' if name.endswith("json") else "a = 0.75\nc = 0.25"
    Path(name).write_text(text)
    selected = selectit.select("pool.json", changed(by="source", shares=name, keep=8))
    assert {each.name: each.kept for each in selected.summary.filters.groups} == {"a": 6, "b": 0, "c": 2}
    with pytest.raises(SettingsError, match="groups that give something have 12"):
        selectit.select(None, changed(by="source", shares=name, keep=13))


def test_a_group_that_is_a_whole_text_stands_on_one_line(folder):
    rows = [{"instruction": "a", "output": "b c", "about": "line\n" * 40}, {"instruction": "d", "output": "e"}]
    Path("rows.json").write_text(json.dumps(rows))
    found = selectit.select("rows.json", Settings(method="length", by="about", keep=1)).summary.filters
    (line,) = (line for line in filter_lines(found) if "line" in line)
    assert line.startswith("  line line ") and "…: 1 row (50.0%), " in line and len(line) < 100
    assert {each.name for each in found.groups} == {"line\n" * 40, "(none)"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"d": 1}', "'d', and no row is of it"),
        ('{"a": -1}', "not a number of 0 or more"),
        ('{"a": "half"}', "not a number"),
        ('{"a": 0}', "every share"),
        ("[1]", "names no groups"),
        ("{", "can't be read"),
    ],
)
def test_shares_that_are_refused(pool, text, message):
    Path("shares.json").write_text(text)
    with pytest.raises(SettingsError, match=message):
        selectit.select("pool.json", changed(by="source", shares="shares.json", keep=8))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shares": "equal"}, "--shares does nothing without --by"),
        ({"pool": "40%"}, "--pool does nothing without --diversity"),
        ({"clusters": 3, "by": "source"}, "--clusters does nothing without --by cluster"),
        ({"dedup_threshold": 0.5, "dedup": "exact"}, "--dedup-threshold does nothing without"),
        ({"dedup_threshold": 1.5, "dedup": "near"}, "--dedup-threshold is 1.5"),
        ({"data_dir": "x"}, "--data-dir does nothing without --decontaminate"),
        ({"dedup": "fuzzy"}, "there is no --dedup 'fuzzy'"),
        ({"by": "colour"}, "no record has a field 'colour'"),
        ({"by": "source", "keep": None, "min_score": 3.0}, "--by needs to know how many rows are kept"),
        ({"decontaminate": "gsm8k"}, "the benchmark's files are needed"),
        ({"decontaminate": "nowhere.json"}, "there is no such file or benchmark"),
        ({"diversity": "length"}, "--diversity length scores rows"),
        ({"diversity": "kcentre"}, "there is no method 'kcentre'"),
        ({"method": "full", "param": {}, "diversity": "kcenter"}, "full chooses a set"),
        ({"diversity": "kcenter", "pool": 3, "engine": "fake"}, "--pool has 3 rows, and 4 are to be kept"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(pool, given, message):
    with pytest.raises(SettingsError) as caught:
        selectit.select("pool.json", changed(**given))
    assert message in caught.value.message and caught.value.hint


def test_a_typing_error_is_one_sentence_and_the_nearest_name_is_proposed(pool):
    with pytest.raises(SettingsError) as caught:
        selectit.select("pool.json", changed(by="source", shares="equl"))
    assert caught.value.message == "--shares is equl, neither proportional, equal nor a file"
    with pytest.raises(SettingsError) as caught:
        selectit.select("pool.json", changed(decontaminate="gsm8"))
    assert caught.value.hint.startswith("Did you mean 'gsm8k'?")


def test_everything_asked_by_the_evaluation_is_an_error(pool):
    Path("all.json").write_text(Path("pool.json").read_text())
    with pytest.raises(DataError, match="every row was left out"):
        selectit.select("pool.json", changed(decontaminate="all.json"))


def test_questions_of_a_text_and_of_a_benchmark(pool):
    Path("q.txt").write_text("Nothing\nHow many apples does Ann have left?\n")
    folder = Path("data/gsm8k")
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(json.dumps({"question": pool[9]["instruction"], "answer": "#### 1"}) + "\n")
    settings = changed(decontaminate=("q.txt", "gsm8k"), data_dir="data", keep="100%")
    selectit.select("pool.json", settings)
    assert {row: each["why"] for row, each in rest_of().items()} == {
        6: "asks a question of q.txt: question 1",
        9: "asks a question of gsm8k: question 0",
    }


# Diversity


def test_a_set_method_chooses_among_the_best(pool, no_model):
    settings = changed(engine="fake", diversity="kcenter", pool="40%", keep="20%")
    selected = selectit.select("pool.json", settings)
    best = sorted(range(20), key=lambda row: -pool[row]["score"])[:8]
    rows = selected.selection.rows.tolist()
    assert len(rows) == 4 and set(rows) <= set(best)
    assert selected.selection.scores.tolist() == [pool[row]["score"] for row in rows]
    rest, vectors = rest_of(), embeddings()
    for row in set(best) - set(rows):
        cosines = vectors[rows] @ vectors[row]
        assert rest[row]["kept_row"] == rows[int(cosines.argmax())]
        assert rest[row]["why"].endswith(f"most like row {rest[row]['kept_row']}, cosine {cosines.max():.2f}")
    assert all(each["why"] == "below the cut" for row, each in rest.items() if row not in best)
    assert "kcenter-both-seed0 chose among the best 8" in lines_of(selected)
    assert selected.name == "field-score-20pct-kcenter-both-seed0-of-40pct"
    no_model()
    again = selectit.select(None, changed(diversity="dpp", keep="20%"))
    assert again.summary.filters.pool == 8 and len(again.selection.rows) == 4


def embeddings():
    from selectit.numerics.vectors import unit
    from selectit.runs.annotators import annotators, request_folders

    (encoder,) = annotators(open_run("run"), "embeddings")
    (asked,) = request_folders(encoder)
    parts = [pq.read_table(path) for path in sorted(asked.glob("part-*"))]
    return unit(np.array([vector for part in parts for vector in part["vector"].to_pylist()], np.float32))


@pytest.mark.parametrize(
    "diversity", ["facility-location", "kcenter", "dpp", "mmr", "similarity:limit=0.99", "qdit", "novel"]
)
def test_every_diversity_step_with_quotas(pool, diversity):
    settings = changed(engine="fake", diversity=diversity, by="source", shares="equal", keep=6)
    selected = selectit.select("pool.json", settings)
    assert [each.kept for each in selected.summary.filters.groups] == [2, 2, 2]
    for group in (range(8), range(8, 16), range(16, 20)):
        best = sorted(group, key=lambda row: -pool[row]["score"])[:4]
        assert set(selected.selection.rows.tolist()) & set(group) <= set(best)


def test_mmr_reads_the_score_that_made_the_pool(pool):
    settings = changed(engine="fake", diversity="mmr:balance=1", pool=10, keep=5)
    selected = selectit.select("pool.json", settings)
    best = sorted(range(20), key=lambda row: -pool[row]["score"])[:5]
    assert selected.selection.rows.tolist() == best
    combined = changed(method="selectit", param={}, combine="field:name=score:1,length:0.001", engine="fake")
    both = selectit.select(None, dataclasses.replace(combined, diversity="mmr:balance=1", pool=10, keep=5))
    assert set(both.selection.rows.tolist()) <= set(sorted(range(20), key=lambda row: -pool[row]["score"])[:8])


def test_what_is_missing_is_said_and_rate_collects_it(pool):
    selectit.select("pool.json", changed())
    with pytest.raises(RunError, match="has no embeddings"):
        selectit.select(None, changed(dedup="semantic"))
    selectit.rate("pool.json", changed(engine="fake", dedup="semantic", out=None, rest=None))
    selected = selectit.select(None, changed(dedup="semantic", dedup_threshold=0.3, keep="100%"))
    assert selected.summary.filters.left_out.keys() == {"means the same as a row that stays"}
    kept = selected.selection.rows
    vectors = embeddings()
    assert (vectors[kept] @ vectors[kept].T - np.eye(len(kept))).max() <= 0.3 + 1e-6
    for row, each in rest_of().items():
        assert each["kept_row"] in kept and vectors[row] @ vectors[each["kept_row"]] > 0.3


def test_clusters_give_their_share(pool):
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    selected = selectit.select("pool.json", changed(engine="fake", by="cluster", clusters=3, shares="equal", keep=3))
    groups = selected.summary.filters.groups
    assert len(groups) == 3 and sum(each.rows for each in groups) == 20 and [each.kept for each in groups] == [1, 1, 1]


def test_a_method_may_have_parameters_of_the_same_names(pool):
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    settings = changed(method="kmeans", param={"clusters": 2}, engine="fake", by="cluster", clusters=3, keep=6)
    selected = selectit.select("pool.json", settings)
    config = open_run("run").read_toml(Path("run/selections") / selected.name / "config.toml")
    assert config["clusters"] == 2 and config["filters"]["clusters"] == 3


def test_languages_are_found_where_no_field_names_them(pool):
    pytest.importorskip("py3langid", reason="the extra 'filters' is not installed")
    english = "Tell me please how the weather was in the north last week."
    german = "Das Wetter war im Norden des Landes in der letzten Woche schlecht."
    rows = [{"instruction": english, "output": english + str(n)} for n in range(4)]
    rows += [{"instruction": german, "output": german + str(n)} for n in range(2)]
    rows += [{"instruction": english, "output": german}]
    Path("pool.json").write_text(json.dumps([each | {"score": float(n)} for n, each in enumerate(rows)]))
    selected = selectit.select("pool.json", changed(by="language", shares="equal", keep=4))
    assert {each.name: each.kept for each in selected.summary.filters.groups} == {"en": 2, "de": 2}
    assert any(
        line.startswith("1 row has a question and an answer in different languages") for line in lines_of(selected)
    )
    assert selectit.show("run", 6)["selections"][selected.name].endswith("question in en, answer in de")


def test_another_filter_rates_nothing_again(pool, no_model):
    settings = dataclasses.replace(PLAIN, method="selectit", param={}, engine="fake", model="m", keep=5)
    selectit.select("pool.json", settings)
    no_model()
    for more in ({"dedup": "exact"}, {"by": "source"}, {"decontaminate": "eval.json"}):
        selectit.select("pool.json", dataclasses.replace(settings, **more))
    assert len(list(Path("run/selections").iterdir())) == 4


def test_a_cascade_is_filtered_too(pool):
    settings = dataclasses.replace(
        PLAIN, method="selectit", param={}, engine="fake", model="m", k=3, cascade="60%", keep=4, by="source",
        shares="equal", decontaminate="eval.json", diversity="kcenter",
    )  # fmt: skip
    selected = selectit.select("pool.json", settings)
    assert 6 not in selected.selection.rows and len(selected.selection.rows) == 4
    steps = {each["step"] for each in pq.read_table(f"run/selections/{selected.name}/rest.parquet").to_pylist()}
    assert {"cascade", "decontaminate"} <= steps


def test_methods_that_unite_choices_choose_of_what_is_left(pool):
    settings = changed(method="selectit", param={}, combine="field:name=score,length", combine_by="union", keep=5)
    selected = selectit.select("pool.json", dataclasses.replace(settings, decontaminate="eval.json", dedup="exact"))
    assert 6 not in selected.selection.rows
    with pytest.raises(SettingsError, match="--by can't be used with --combine-by union"):
        selectit.select(None, dataclasses.replace(settings, by="source"))


def test_a_list_of_rows_is_filtered(pool):
    Path("ids.json").write_text("[6, 3, 9]")
    settings = changed(method="fixed", param={"file": "ids.json"}, decontaminate="eval.json", allow_fewer=True)
    assert selectit.select("pool.json", settings).selection.rows.tolist() == [3, 9]


def test_compare_chooses_of_what_is_left(pool):
    selectit.select("pool.json", changed(decontaminate="eval.json"))
    found = selectit.compare("run", ["field:name=score", "full"], Settings(decontaminate="eval.json", keep="50%"))
    assert [each.kept for each in found.methods] == [9, 19]


def test_another_encoder_is_another_selection(pool):
    settings = changed(engine="fake", dedup="semantic", dedup_threshold=0.3, keep=3)
    first = selectit.select("pool.json", settings)
    second = selectit.select("pool.json", dataclasses.replace(settings, encoder="other"))
    assert second.name != first.name and second.name.startswith(first.name)


def test_the_card_of_an_export_says_what_was_left_out(pool):
    settings = changed(
        engine="fake", dedup="exact", decontaminate="eval.json", by="source", diversity="kcenter", keep=6
    )
    selected = selectit.select("pool.json", settings)
    selectit.export("run", "trl", "exported", selected.name)
    card = Path("exported/README.md").read_text()
    for line in (
        "- left out: what shares a question with eval.json",
        "- left out: duplicates (exact)",
        "- groups: by source, shares proportional",
        "- diversity: kcenter among the best (twice)",
        "(embeddings), engine fake",
    ):
        assert line in card
