"""Preference pairs: how they are read, and what a score wins of them."""

import json

import numpy as np
import pytest

import selectit
from commandline import run
from selectit.config.settings import Settings
from selectit.errors import DataError, SettingsError
from selectit.numerics.statistics import preferences
from selectit.probing.measure import JUDGES, JUDGES_AS_LENGTH, JUDGES_NOT, JUDGES_WRONG
from selectit.probing.pairs import PairMap, by_instruction, draw_pairs, measure_pairs, more_than, split_map
from selectit.runs.source import create

LENGTH = Settings(run="run")
WORDS = "length:unit=words"
LABELLED = "instruction=input,chosen=output_1,rejected=output_2,label=label"


def preference_rows(count=12):
    """The preferred answer has two words more."""
    return [
        {"prompt": f"Question {n}?", "chosen": f"Answer {n} " + "so " * 2 + "x" * n, "rejected": f"Answer {n}"}
        for n in range(count)
    ]


def write(folder, rows, name="pairs.jsonl"):
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def drawn(path, text=None, sample=100):
    as_read, fields = split_map(text)
    found = draw_pairs(create(path, Settings(run=str(path.parent / "run"), map=as_read)), fields, sample, 0)
    answers = [row.response for row in found.rows]
    return dict(zip(answers[::2], answers[1::2], strict=True)), found.left_out


def test_length_wins_what_is_longer(folder):
    found = selectit.probe(write(folder, preference_rows()), LENGTH, [WORDS], pairs=True)
    (result,) = found.results
    assert (found.counts, found.rows, found.left_out) == ({"chosen": 12, "rejected": 12}, 12, {})
    assert (result.pairs.wins.value, result.pairs.ties, result.pairs.missing) == (1.0, 0, 0)
    assert result.p == pytest.approx(2 / 2**12)
    assert result.pairs == found.length and result.over_length.value == 0
    assert result.verdict == JUDGES_AS_LENGTH


def test_shortest_is_the_wrong_way_round_and_random_does_not_judge(folder):
    path = write(folder, preference_rows())
    found = selectit.probe(path, LENGTH, ["length:unit=words;order=shortest", "random"], pairs=True)
    shortest, random = found.results
    assert shortest.verdict == JUDGES_WRONG and shortest.over_length.value == -1
    assert random.verdict == JUDGES_NOT


def test_what_knows_more_than_length_judges(folder):
    rows = [
        {"prompt": f"Question {n}?", "chosen": "Right. " * (1 + n % 2), "rejected": "Wrong. " * (2 - n % 2), "of": n}
        for n in range(40)
    ]
    knows = folder / "knows.py"
    knows.write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\nimport numpy as np\n"
        "@dataclass(frozen=True)\nclass Knows:\n    '''Knows.'''\n    needs: ClassVar = ('texts',)\n"
        "    label: ClassVar = 'knows'\n    def score(self, signals):\n"
        "        return np.array([each.response.startswith('Right') for each in signals.texts], np.float64)\n"
    )
    found = selectit.probe(write(folder, rows), Settings(run="run", method=f"{knows}:Knows"), pairs=True)
    assert found.length.wins.value == 0.5 and found.length.ties == 0
    assert found.results[0].verdict == JUDGES and found.results[0].over_length.low > 0.3


def test_layouts(folder):
    """The same pairs in the layouts of data sets that people have."""
    plain = preference_rows()
    wanted = {row["chosen"]: row["rejected"] for row in plain}

    def ask(text):
        return [{"role": "user", "content": text}]

    def said(row, field):
        return [*ask(row["prompt"]), {"role": "assistant", "content": row[field]}]

    two = [(row["prompt"], row["chosen"], row["rejected"], n % 2) for n, row in enumerate(plain)]
    swapped = [(prompt, *((worse, better) if turn else (better, worse)), turn) for prompt, better, worse, turn in two]
    layouts = {
        "rewardbench": (plain, None),
        "conversations": ([{"chosen": said(r, "chosen"), "rejected": said(r, "rejected")} for r in plain], None),
        "sharegpt": (
            [
                {
                    "conversations": [{"from": "human", "value": row["prompt"]}],
                    "chosen": {"from": "gpt", "value": row["chosen"]},
                    "rejected": {"from": "gpt", "value": row["rejected"]},
                }
                for row in plain
            ],
            None,
        ),
        "llmbar": (
            [{"input": q, "output_1": a, "output_2": b, "label": 1 + turn} for q, a, b, turn in swapped],
            LABELLED,
        ),
        "pandalm": (
            [
                {"instruction": q, "input": "", "response1": a, "response2": b}
                | {"annotator1": 1 + turn, "annotator2": 0, "annotator3": 1 + turn}
                for q, a, b, turn in swapped
            ],
            "instruction=instruction,input=input,chosen=response1,rejected=response2,"
            "label=annotator1+annotator2+annotator3",
        ),
        "helpsteer-preference": (
            [
                {"prompt": q, "response_1": a, "response_2": b, "preference_strength": 2 if turn else -1}
                for q, a, b, turn in swapped
            ],
            "instruction=prompt,chosen=response_1,rejected=response_2,strength=preference_strength",
        ),
        "helpsteer3": (
            [
                {"context": ask(q), "response1": a, "response2": b, "overall_preference": 3 if turn else -3}
                for q, a, b, turn in swapped
            ],
            "messages=context,chosen=response1,rejected=response2,strength=overall_preference",
        ),
        "helpsteer": (
            [
                {"prompt": q, "response": text, "helpfulness": 4 - (place == turn) + turn * 0}
                for q, a, b, turn in swapped
                for place, text in ((1, a), (0, b))
            ],
            "instruction=prompt,response=response,score=helpfulness",
        ),
        "arena": (
            [
                {
                    "conversation_a": [*ask(q), {"role": "assistant", "content": a}],
                    "conversation_b": [*ask(q), {"role": "assistant", "content": b}],
                    "winner": ("model_a", "model_b")[turn],
                }
                for q, a, b, turn in swapped
            ],
            "chosen=conversation_a,rejected=conversation_b,label=winner",
        ),
    }
    for name, (rows, text) in layouts.items():
        (folder / name).mkdir()
        assert drawn(write(folder / name, rows), text) == (wanted, {}), name


def test_what_tells_nothing_is_counted_by_its_reason(folder):
    rows = [{"input": r["prompt"], "output_1": r["chosen"], "output_2": r["rejected"], "label": 1} for r in
            preference_rows(14)]  # fmt: skip
    rows[0]["label"], rows[1]["output_2"], rows[2]["label"] = "tie", rows[1]["output_1"], "neither"
    rows[3]["output_2"] = None
    _, left_out = drawn(write(folder, rows), LABELLED)
    assert left_out == {
        "neither is preferred": 1,
        "the two answers are the same": 1,
        "the field 'label' is none of 1, 2 and 0 (or a, b, model_a, model_b, tie)": 1,
        "there is no second answer": 1,
    }


def test_a_majority_of_labels_decides_and_a_draw_is_neither(folder):
    rows = [
        {"q": f"{n}?", "a": f"A {n}", "b": f"B {n}", "x": x, "y": y, "z": z}
        for n, (x, y, z) in enumerate([(1, 1, 2), (2, 2, 0), (1, 2, 0)] * 8)
    ]
    found, left_out = drawn(write(folder, rows), "instruction=q,chosen=a,rejected=b,label=x+y+z")
    assert left_out == {"neither is preferred": 8}
    assert [found[f"A {n}"] for n in range(0, 24, 3)] == [f"B {n}" for n in range(0, 24, 3)]
    assert [found[f"B {n}"] for n in range(1, 24, 3)] == [f"A {n}" for n in range(1, 24, 3)]


@pytest.mark.parametrize(
    "text",
    [
        "instruction=a,response=b",
        "instruction=a,chosen=b",
        "instruction=a,chosen=b,rejected=c,label=d,strength=e",
        "instruction=a,response=x,chosen=b,rejected=c",
        "instruction=a,chosen=b,rejected=c,score=d",
    ],
)
def test_maps_that_name_no_pairs(text):
    with pytest.raises(SettingsError, match="pairs"):
        split_map(text)


def test_data_without_pairs_is_refused_with_what_to_write(folder, capfd):
    path = write(folder, [{"instruction": "a?", "output": "b"}] * 30)
    with pytest.raises(DataError, match="no second answer"):
        selectit.probe(path, LENGTH, [WORDS], pairs=True)
    other = write(folder, [{"input": "a?", "output_1": "b", "output_2": "c", "label": 1}] * 30, "other.jsonl")
    code, _, err = run(capfd, "probe", "--pairs", other, "--methods", WORDS)
    assert code == 2 and "--map instruction=FIELD,chosen=FIELD" in err
    code, _, err = run(capfd, "probe", "--pairs", path, "--labelled", "a=b")
    assert code == 2 and "two kinds of probe" in err


def test_the_command(folder, capfd):
    path = write(folder, [*preference_rows(), {"prompt": "?", "chosen": "a", "rejected": "a"}])
    code, out, _ = run(capfd, "probe", "--pairs", path, "--methods", WORDS, "--run", "run", "--quiet")
    assert code == 0
    assert "12 preference pairs of pairs.jsonl, 12 instructions" in out
    assert "left out: 1 pairs: the two answers are the same" in out
    assert "by length in words: pairs won 1.00 (0.76-1.00)" in out
    assert f"length-words: {JUDGES_AS_LENGTH}" in out
    code, out, _ = run(capfd, "probe", "--pairs", path, "--methods", WORDS, "--run", "run", "--json")
    assert json.loads(out)["results"][0]["pairs"]["wins"]["value"] == 1.0
    assert "preference pairs" in run(capfd, "show", "run")[1]


def test_ties_count_half_and_what_has_no_score_is_the_lower():
    good, bad = np.array([1.0, 2.0, np.nan, 3.0, np.nan]), np.array([1.0, 1.0, 0.0, np.nan, np.nan])
    found = measure_pairs(good, bad, list("abcde"))
    assert (found.wins.value, found.ties, found.missing) == ((0.5 + 1 + 0 + 1 + 0.5) / 5, 2, 3)


def test_an_instruction_counts_once():
    values = by_instruction(np.array([1.0, 0.0, 1.0]), ["a", "b", "a"])
    assert sorted(values.tolist()) == [0.0, 1.0]


@pytest.mark.parametrize(("share", "most", "alike"), [(0.5, 1, 0.0), (0.65, 1, 0.0), (0.9, 1, 0.0), (0.65, 6, 0.8)])
def test_the_interval_covers_the_true_share(share, most, alike):
    """By simulation: instructions with several pairs, whose outcomes are alike."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        pairs = rng.integers(1, most + 1, 60)
        names = np.repeat(np.arange(60), pairs)
        own = rng.random(60) < share
        won = np.where(rng.random(len(names)) < alike, own[names], rng.random(len(names)) < share).astype(float)
        found = measure_pairs(won, np.full(len(names), 0.5), names.astype(str).tolist()).wins
        covered += found.low <= share <= found.high
    assert covered / 400 >= 0.93


def test_the_difference_to_length_covers_the_true_one():
    """By simulation: a score wins 0.7 and length 0.6 of the pairs, independently."""
    rng = np.random.default_rng(2)
    names = [str(n) for n in range(80)]
    covered = 0
    for trial in range(200):
        won, longer = (preferences((rng.random(80) < share).astype(float), np.full(80, 0.5)) for share in (0.7, 0.6))
        found = more_than(won, longer, names, trial)
        covered += found.low <= 0.1 <= found.high
    assert covered / 200 >= 0.9


def test_pairs_of_scores_are_of_one_instruction(folder):
    rows = [{"q": f"{n % 6}?", "a": f"answer {n}", "s": n // 6} for n in range(18)]
    found = draw_pairs(
        create(write(folder, rows), Settings(run="run", map="instruction=q,response=a")), PairMap(score="s"), 100, 0
    )
    assert len(found.rows) == 2 * 6 * 3 and len({row.instruction for row in found.rows}) == 6
    number = [int(row.response.split()[1]) for row in found.rows]
    pairs = list(zip(number[::2], number[1::2], strict=True))
    assert all(better > worse and better % 6 == worse % 6 for better, worse in pairs)
