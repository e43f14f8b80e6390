"""The page of a selection: what it is given is what is stored, no row can be markup. Browser: tests/real/browser."""

import base64
import gzip
import json
import re
import shlex
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import commandline
import selectit
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.filters.quotas import share_out
from selectit.pages import rows as page_rows
from selectit.pages.choice import read_choice
from selectit.pages.command import ROWS, to_flags
from selectit.pages.pack import pack_columns, pack_texts, round_to_figures, to_json
from selectit.runs.run import open_run

FAKE = {"engine": "fake", "run": "run", "force": True}


@pytest.fixture
def command(capsys):
    return partial(commandline.run, capsys)


def part(page, name):
    return re.search(f'id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def unpack(text):
    return gzip.decompress(base64.b64decode(text))


class Page:
    """What the script of a page is given."""

    def __init__(self, selection):
        self.html = selectit.report(selection).read_text()
        self.about = json.loads(part(self.html, "about"))
        data = unpack(part(self.html, "numbers"))
        kinds = {
            "Uint8Array": "u1",
            "Uint16Array": "<u2",
            "Uint32Array": "<u4",
            "Float32Array": "<f4",
            "Float64Array": "<f8",
        }
        self.columns = {
            name: np.frombuffer(data, kinds[each["type"]], each["length"], each["begin"])
            for name, each in self.about["columns"].items()
        }
        texts = unpack(part(self.html, "texts")).decode().split("\0")
        size = self.about["rows"]
        self.question, self.answer, self.why = (texts[start : start + size] for start in range(0, 3 * size, size))
        self.conversations = json.loads(unpack(part(self.html, "conversations")))
        self.lists = {each["title"]: each["places"] for each in self.about["lists"]}

    @property
    def order(self):
        place = self.columns["place"]
        return [int(row) for row in np.argsort(place, kind="stable") if place[row]]


def choose(data, **more):
    selected = selectit.select(data, Settings(**{**FAKE, **more}))
    return selected, Page(f"{selected.run}:{selected.name}")


def test_the_columns_are_what_is_stored(data, rows):
    selected, page = choose(data, k=3, keep=4)
    scores = selectit.score("run", Settings(k=3))
    np.testing.assert_array_equal(page.columns["score"], scores.score)
    assert page.order[:4] == selected.selection.rows.tolist()
    assert np.flatnonzero(page.columns["kept"]).tolist() == sorted(selected.selection.rows)
    assert page.columns["words"].tolist() == [len(each["output"].split()) for each in rows]
    for at, name in enumerate(page.about["parts"]):
        np.testing.assert_allclose(page.columns[f"part{at}"], scores.parts[name], rtol=5.1e-4)
    assert page.question == [each["instruction"] for each in rows]
    assert page.why[selected.selection.rows[0]] == "rank 1 of 12"
    assert len(page.conversations) == len(rows)


def test_the_probabilities_are_those_of_the_ratings(data):
    _, page = choose(data, k=2, model=("a", "b"))
    chances = page.columns["chances"].reshape(12, 2, 2, 5) / 10_000
    for row in (0, 7):
        stored = [list(each["probabilities"].values()) for each in selectit.show("run", row)["ratings"]]
        np.testing.assert_allclose(chances[row].reshape(4, 5), stored, atol=1e-4)
    assert {"Prompts disagree", "Models disagree"} <= set(page.lists)


def test_k_of_a_method_that_asks_no_prompts_is_no_number_of_prompts(data):
    choose(data, k=2, model=("a",))
    _, page = choose(data, method="novelselect", encoder="e", model=())  # its k = 10 are neighbours
    assert page.columns["chances"].reshape(12, -1).shape == (12, 2 * 5)


@pytest.mark.parametrize(
    "more",
    [
        {"method": "selectit", "k": 2, "alpha": 0.5},
        {"method": "length"},
        {"method": "random", "seed": 3},
        {"k": 2, "dedup": "exact"},
        {"method": "length", "best_of": "instruction"},
        {"k": 2, "profile": "official"},
        {"k": 3, "cascade": "80%"},
    ],
)
def test_the_copied_command_gives_the_rows_above_the_cut(data, command, more):
    _, page = choose(data, keep=3, **more)
    assert page.about["most"] == len(page.order)
    assert run_copied(page, command, 5) == page.order[:5]
    assert Path("data.5rows.json").exists()


def run_copied(page, command, keep):
    """The rows that the command for another cut chooses."""
    words = shlex.split(page.about["command"].replace(ROWS, str(keep)))
    assert words.pop(0) == "selectit"
    code, out, err = command(*words, "--json", "--no-report")
    assert code == 0, err
    assert json.loads(out)["report"] is None
    return json.loads(out)["rows"]


TOPICS = "aaaaaabbbbcc"


@pytest.fixture
def topics(folder, rows):
    Path("data.json").write_text(json.dumps([{**row, "topic": t} for row, t in zip(rows, TOPICS, strict=True)]))
    Path("shares.json").write_text('{"a": 0.3, "c": 1.7}')
    return "data.json"


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ({"method": "length", "by": "topic"}, 12),
        ({"method": "length", "by": "topic", "shares": "equal"}, 12),
        ({"method": "length", "by": "topic", "shares": "shares.json"}, 8),
        ({"k": 2, "by": "topic", "dedup": "exact"}, 11),
    ],
)
def test_the_copied_command_gives_each_group_its_share(topics, command, more, most):
    _, page = choose(topics, keep=4, **more)
    quotas, of = page.about["quotas"], page.columns["group"]
    assert page.about["most"] == most
    for keep in (1, 3, 7, most):
        given = share_out(quotas["sizes"], [Fraction(weight) for weight in quotas["weights"]], keep)
        turn = page.columns["turn"]
        assert run_copied(page, command, keep) == [row for row in page.order if 0 < turn[row] <= given[of[row]]]


@pytest.mark.parametrize("method", ["kcenter", "herding"])
def test_the_copied_command_gives_the_first_of_a_set(topics, command, method):
    selected, page = choose(topics, keep=6, method=method, encoder="e")
    assert page.about["most"] == 6
    assert page.order == selected.selection.rows.tolist()
    assert run_copied(page, command, 4) == page.order[:4]


@pytest.mark.parametrize(
    "more",
    [
        {"method": "kmeans", "encoder": "e"},
        {"method": "kcenter", "encoder": "e", "by": "topic"},
        {"method": "length", "diversity": "kcenter", "encoder": "e"},
        {"method": "length", "by": "topic", "shares": "equal", "min_score": 2, "keep": 6},
    ],
)
def test_a_choice_that_is_no_cut_has_none_to_move(topics, more):
    selected, page = choose(topics, **{"keep": 4, "allow_fewer": True, **more})
    assert page.about["most"] is None
    assert np.flatnonzero(page.columns["kept"]).tolist() == sorted(selected.selection.rows)
    assert "no cut to move" in page.html or "no single cut" in page.html


def test_why_rows_were_left_out_and_which_row_they_are_like(data):
    _, page = choose(data, method="length", dedup="exact", keep=4)
    twin = 10 if page.columns["near"][10] else 3
    assert page.columns["near"][twin] - 1 == 13 - twin
    assert page.columns["place"][twin] == 0
    assert page.why[twin].startswith("says the same as a row that stays")
    assert sorted(page.lists["Duplicates"][:2]) == [3, 10]


def test_lists_have_their_rows(data, rows):
    selected, page = choose(data, k=2, keep=4)
    words = page.columns["words"]
    assert page.lists["Best"] == page.order
    assert page.lists["Worst"] == page.order[::-1]
    assert set(page.lists["Nearest the cut"][:2]) == {page.order[3], page.order[4]}
    assert words[page.lists["Longest kept"][0]] == max(words[selected.selection.rows])
    assert page.lists["Flagged"] == [11]
    assert ["empty response"] == [word for bit, word in page.about["flags"] if page.columns["flags"][11] & bit]


def test_rows_without_a_score_say_why(folder, rows):
    rows[5]["output"] = "word " * 300
    Path("data.json").write_text(json.dumps(rows))
    _, page = choose("data.json", k=1, level="token", max_tokens=200)
    assert page.lists["No score"] == [5]
    assert page.why[5].startswith("no score: ")
    assert page.columns["place"][5] == 0


def test_fields_with_few_values_group_the_rows(folder, rows):
    made = [{**each, "id": f"x{n}", "source": ["a", "b"][n % 2], "same": "s"} for n, each in enumerate(rows)]
    del made[0]["source"]
    Path("data.json").write_text(json.dumps(made))
    _, page = choose("data.json", method="length")
    assert page.about["fields"] == [{"name": "source", "values": ["(none)", "a", "b"]}]
    assert page.columns["field0"].tolist() == [0, 2, *[1, 2] * 5]


def test_tokens_are_estimated_by_words_where_none_have_spaces_between(folder):
    Path("han.json").write_text(json.dumps([{"instruction": "水" * 60, "output": "火" * 60}] * 4))
    _, page = choose("han.json", keep=2, prompts="default", k=1)
    assert (page.columns["tokens"] > 20).all()  # were the row one word, it would be a few of the rated text's


def test_equal_runs_give_equal_pages(data):
    _, page = choose(data, method="length")
    assert Page("run").html == page.html


def test_a_long_run_has_a_sample_and_says_so(data, monkeypatch):
    monkeypatch.setattr(page_rows, "MOST_ROWS", 6)
    monkeypatch.setattr(page_rows, "_ENDS", 1)
    selected, page = choose(data, k=2, keep=4)
    row = page.columns["row"].tolist()
    best = selectit.score("run", Settings(k=2)).score
    assert page.about["total"] == 12 and page.about["rows"] <= 6
    assert [row[at] for at in page.order] == sorted(row, key=lambda each: -best[each])
    ranks = np.argsort(np.argsort(-best, kind="stable"), kind="stable") + 1
    assert page.columns["place"].tolist() == ranks[row].tolist()  # among all rows, not among those of the page
    assert {selected.selection.rows[0], selected.selection.rows[-1]} <= set(row)
    assert "drawn at random" in page.html
    assert 'id="analyses"' not in page.html


def test_long_texts_are_cut_and_say_so(folder, monkeypatch):
    monkeypatch.setattr(page_rows, "ALL_CHARACTERS", 60_000)
    made = [{"instruction": f"Q{n}", "output": "x" * 30_000} for n in range(5)]
    Path("data.json").write_text(json.dumps(made))
    _, page = choose("data.json", method="length")
    assert len(page.conversations) == 2
    assert page.conversations[0]["turns"][1][1].endswith("x\n… 10,000 more characters")
    assert all(len(each) == page_rows.PREVIEW for each in page.answer)
    assert page.about["show"] == "selectit show run --row"


def test_no_row_can_be_markup(folder):
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u2028\x1b[31m"
    Path("data.json").write_text(
        json.dumps([{"instruction": bad, "output": bad, "s": "<b>"[n % 2 :]} for n in range(6)])
    )
    selected, page = choose("data.json", k=1, level="token", name="x")
    assert page.html.count("<script>") == page.html.count("<style>") == 1
    assert page.html.count("</script>") == 5
    assert "<img" not in page.html and "onerror" not in page.html and "\x1b" not in page.html
    assert page.question[0].startswith("</script><script>alert(1)</script>")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page.html)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy


def test_the_command_writes_and_names_the_page(data, command):
    code, out, _ = command(
        "select", data, "--engine", "fake", "--k", 1, "--level", "token", "--run", "run", "--name", "x"
    )
    assert code == 0
    assert out.splitlines()[-1] == "report    run/selections/x/report.html"
    code, out, _ = command("report", "run:x", "--out", "page.html")
    assert (code, out) == (0, "report    page.html\n")
    assert Path("page.html").read_bytes() == Path("run/selections/x/report.html").read_bytes()
    Path("page.html").write_text("mine")
    code, _, err = command("report", "run", "--out", "page.html")
    assert code == 2 and "--force" in err
    assert Path("page.html").read_text() == "mine"
    code, _, err = command("report", "run:y")
    assert code == 2 and "Did you mean" in err or "Known: x" in err


@given(st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=1))
def test_packed_texts_come_back(texts):
    assert unpack(pack_texts([texts, texts])).decode().split("\0") == [*texts, *texts]


@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_json_in_a_page_is_no_markup(value):
    text = to_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


@given(st.lists(st.sampled_from(["u1", "u2", "f4", "f8"]), min_size=1), st.integers(1, 7))
def test_columns_begin_where_typed_arrays_may(kinds, size):
    columns = {f"c{at}": np.arange(size).astype(kind) for at, kind in enumerate(kinds)}
    places, text = pack_columns(columns)
    data = unpack(text)
    for name, values in columns.items():
        begin = places[name]["begin"]
        assert begin % values.itemsize == 0
        np.testing.assert_array_equal(np.frombuffer(data, values.dtype, size, begin), values)


@given(st.floats(1e-9, 1e9), st.sampled_from([-1, 1]))
def test_rounded_values_have_four_figures(value, sign):
    (found,) = round_to_figures(np.array([sign * value])).tolist()
    assert found == pytest.approx(sign * value, rel=5.1e-4)
    assert f"{found:.7g}" == f"{float(f'{found:.4g}'):.7g}"


def test_what_is_no_number_stays_so():
    assert np.isnan(round_to_figures(np.array([np.nan]))).all()
    assert round_to_figures(np.array([0.0])) == 0


def test_options_of_another_version_give_no_command(data, monkeypatch):
    selected, page = choose(data, method="length", name="x")
    assert page.about["command"]
    run = open_run("run")
    path = run.path / "selections/x/summary.json"
    for options in ({"unheard_of": 1}, None):
        run.write_json(path, {**run.read_json(path), "options": options})
        assert Page("run").about["command"] is None


def test_options_as_they_are_typed():
    options = {"model": ["a", "b c"], "k": 2, "param": {"x": 1}, "labels": ["1", "2"], "chat": True, "keep": "20%"}
    flags = to_flags(options)
    assert flags == [
        "--model",
        "a",
        "--model",
        "b c",
        "--k",
        "2",
        "--param",
        "x=1",
        "--labels",
        "1,2",
        "--chat",
        "--keep",
        "20%",
    ]


def test_a_choice_says_which_scores_it_was_made_by(data):
    selected, _ = choose(data, k=2)
    assert read_choice(open_run("run"), selected.name).scores == "selectit-sentence-paper-k2-a0.2"


def test_a_map_by_umap_says_so(topics, monkeypatch):
    class Umap:
        def __init__(self, **options):
            pass

        def fit_transform(self, vectors):
            return vectors[:, :2]

    selected, page = choose(topics, keep=4, method="kcenter", encoder="e")
    assert "principal axes" in page.html
    monkeypatch.setattr("selectit.numerics.projection.NEIGHBOURS", 3)
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    html = selectit.report(f"run:{selected.name}", umap=True).read_text()
    assert "UMAP" in html and "principal axes" not in html
    scored, _ = choose(topics, keep=4, method="length", run="other")
    with pytest.raises(SettingsError, match="no map"):
        selectit.report(f"other:{scored.name}", umap=True)


def test_the_verdict_names_the_target(data, rows):
    Path("own.json").write_text(json.dumps(rows[:2]))
    _, page = choose(data, model="m", method="knn-target", target=("own.json",), keep=4)
    verdict = page.html.partition("The summary in full")[0]
    assert "<p>Towards own.json.</p>" in verdict
    assert "<p>Of the target&#x27;s examples 2 are rows of the data, and " in verdict


def test_the_verdict_says_nothing_of_models_that_another_selection_asked(data):
    _, own = choose(data, model="m", k=2, keep=4)
    _, page = choose(data, method="length", keep=4)
    said = ("made up by the engine fake", "answers in the whole run", "was not measured")
    assert [each in own.html.partition("The summary in full")[0] for each in said] == [True] * 3
    assert [each in page.html.partition("The summary in full")[0] for each in said] == [False] * 3
