"""Questions that a server answers: order, retries, what stops a run, and the command with AlpaGasus's judge."""

import json
from pathlib import Path

import pytest

import selectit
from selectit.cli.main import main
from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.engines.server import engine as server_engine
from selectit.engines.server.completions import read_reply
from selectit.engines.server.endpoint import Malformed, Patience
from selectit.errors import EngineError, SettingsError
from selectit.runs.annotators import annotators
from selectit.runs.run import open_run
from selectit.signals.arrays import FLAG_UNFINISHED
from selectit.signals.judgements import Replies, Reply
from selectit.signals.ratings import RatesLabels
from selectit.signals.requests import JudgeRequest
from stub_server import KEY

QUESTION = JudgeRequest("You judge.", "{instruction} was answered with {response}. How well?", max_new_tokens=17)
SAMPLES = [Sample(row, 0, f"Question {row}?", f"answer {row}") for row in range(30)]
JUDGE = "gpt-3.5-turbo"


@pytest.fixture
def stub(stub):
    """One that only chats."""
    stub.models = [JUDGE]
    stub.completes = stub.tokenizes = False
    stub.reply = lambda text: f"on {text}"
    return stub


@pytest.fixture
def judge(stub):
    judges = []

    def judge(name=JUDGE, concurrency=4, patience=Patience(first_wait=0.01), **changes):
        made = server_engine.load_judge(
            name, **{"base_url": stub.url, **changes}, concurrency=concurrency, patience=patience
        )
        judges.append(made)
        return made

    yield judge
    for each in judges:
        each.close()


def reply(judge, samples=SAMPLES):
    told = []
    replies = judge.reply(QUESTION, samples, lambda done, tokens: told.append((done, tokens)))
    assert sum(done for done, _ in told) == len(samples)
    return replies


def expected(row):
    return Reply(f"on Question {row}? was answered with answer {row}. How well?")


def faulty(row, fault, tries):
    return lambda text, nth: fault if f"Question {row}?" in text and nth < tries else None


def test_what_is_asked_and_the_order_of_the_answers(stub, judge):
    made = judge()
    assert isinstance(made, Replies) and not isinstance(made, RatesLabels)
    assert not stub.asked  # no probing: a judge may cost money
    stub.slow = 0.01
    assert reply(made) == [expected(row) for row in range(30)]
    assert 1 < stub.most_under_way <= 4 and stub.connections <= 5
    first = next(body for body in stub.asked if "Question 0?" in stub.text(body))
    assert first == {
        "model": JUDGE,
        "messages": [
            {"role": "system", "content": "You judge."},
            {"role": "user", "content": "Question 0? was answered with answer 0. How well?"},
        ],
        "max_tokens": 17,
        "temperature": 0,
    }


def test_braces_in_a_pair_are_left_as_they_are():
    pair = Sample(0, 0, "What is {response}?", r"A {instruction} \1")
    assert QUESTION.of(pair) == r"What is {response}? was answered with A {instruction} \1. How well?"


@pytest.mark.parametrize("fault", [(429, {}, {"Retry-After": "0"}), (503, {}), "cut", (200, {"choices": []})])
def test_passing_faults_leave_no_trace(stub, judge, fault):
    stub.fault = faulty(3, fault, tries=2)
    assert reply(judge()) == [expected(row) for row in range(30)]
    assert len(stub.asked) == 32


def said(content, end):
    return lambda answer: {"choices": [{"message": {"content": content}, "finish_reason": end}]}


@pytest.mark.parametrize(
    "fault, why, flags",
    [
        ((400, {"message": "maximum context length"}), "the server answers 400: maximum context length", 0),
        ((429, {"error": {"message": "quota"}}), "the server answers 429: quota (6 tries)", 0),
        ((400, {"message": "no \ud83d"}), "the server answers 400: no ?", 0),
        (said(None, "\ud83d"), r"the server's answer has no text (finish_reason: \ud83d)", 0),
        (said(None, "content_filter"), "the server's answer has no text (finish_reason: content_filter)", 0),
        (said(" \n", "length"), "the server's answer has no text (finish_reason: length)", FLAG_UNFINISHED),
    ],
)
def test_a_request_without_an_answer_is_a_row_with_an_error(stub, judge, fault, why, flags):
    stub.fault = faulty(7, fault, tries=99)
    assert reply(judge()) == [Reply(None, why, flags) if row == 7 else expected(row) for row in range(30)]


def test_an_answer_that_was_cut_off_is_kept_and_says_so(stub, judge):
    stub.fault = faulty(7, said("It is", "length"), tries=99)
    assert reply(judge())[6:8] == [expected(6), Reply("It is", flags=FLAG_UNFINISHED)]


def test_half_a_surrogate_pair_in_an_answer_is_replaced(stub, judge):
    stub.fault = faulty(7, said("Well \ud83d done \U0001f600", "stop"), tries=99)
    assert reply(judge())[7] == Reply("Well ? done \U0001f600")


@pytest.mark.parametrize("fault", [(500, {"error": "out of memory"}), said("", "length")])
def test_the_same_error_twenty_times_stops_the_run(stub, judge, fault):
    made = judge(concurrency=1, patience=Patience(tries=1))
    stub.fault = lambda text, nth: fault
    with pytest.raises(EngineError, match="20 rows in a row failed with the same error: the server") as caught:
        reply(made)
    assert "server is at fault" in caught.value.hint and len(stub.asked) == 20
    stub.fault = lambda text, nth: fault if "9?" not in text else None
    assert [row for row, said in enumerate(reply(made)) if not said.error] == [9, 19, 29]  # a good one counts anew


def test_a_wrong_key_model_or_address_stops_at_once(stub, judge, monkeypatch):
    with pytest.raises(EngineError, match="no model 'gpt'") as caught:
        reply(judge("gpt"))
    assert "--judge: gpt-3.5-turbo" in caught.value.hint
    with pytest.raises(EngineError, match="/v2/chat/completions: the server answers 404") as caught:
        reply(judge(base_url=stub.url + "/v2"))
    assert "before /chat/completions" in caught.value.hint
    monkeypatch.setenv("SELECTIT_API_KEY", "sk-of-another")
    with pytest.raises(EngineError, match="refuses the key"):
        reply(judge())


@pytest.mark.parametrize("value", [{}, [], {"choices": [{"text": "3"}]}, {"choices": [{"message": {"content": [1]}}]}])
def test_what_is_no_chat_completion(value):
    with pytest.raises(Malformed):
        read_reply(value)


def scored(text):
    """Of the row with the instruction 'Question N?': N / 2, worded as judges do."""
    number = next((n for n in range(10) if f"Question {n}?" in text), None)
    return "I can't say." if number is None else f"Score: {number / 2:g}/5\nBecause 1 of 3 parts is right."


def test_the_whole_command(stub, data, capfd):
    stub.reply = scored
    ask = ["select", str(data), "--method", "alpagasus", "--engine", "server", "--base-url", stub.url]
    main([*ask, "--judge", JUDGE, "--run", "run", "--keep", "3", "--out", "best.json"])
    out, err = capfd.readouterr()
    assert "kept 3 of 12 rows" in out
    assert [row["instruction"] for row in json.loads(Path("best.json").read_text())] == [
        f"Question {n}?" for n in (9, 8, 7)
    ]
    assert len(stub.asked) == 12 and {body["max_tokens"] for body in stub.asked} == {256}
    (annotator,) = annotators(open_run("run"), "judgements")
    assert annotator.manifest["settings"] == {"engine": "server", "model": JUDGE}
    told = b"".join(path.read_bytes() for path in Path("run").rglob("*") if path.is_file())
    told += (out + err).encode()
    assert KEY.encode() not in told and stub.url.encode() not in told
    main([*ask, "--judge", JUDGE, "--run", "run", "--min-score", "4", "--out", "good.json"])
    main(["select", "--run", "run", "--method", "alpagasus", "--keep", "4", "--out", "more.json"])
    assert len(json.loads(Path("good.json").read_text())) == 2 and len(json.loads(Path("more.json").read_text())) == 4
    assert len(stub.asked) == 12  # nothing is asked again


def served(stub, **changes):
    return Settings(**{"engine": "server", "base_url": stub.url, "judge": JUDGE, "run": "run", "keep": 3, **changes})


def test_rows_that_fail_are_asked_again(stub, data):
    stub.reply = scored
    stub.fault = faulty(9, (400, {"message": "filtered"}), tries=99)
    first = selectit.select(data, served(stub, method="alpagasus"))
    assert first.selection.rows.tolist() == [8, 7, 6] and first.selection.scores.tolist() == [4, 3.5, 3]
    stub.fault = lambda text, nth: None
    again = selectit.select(data, served(stub, method="alpagasus", retry_errors=True, force=True))
    assert again.selection.rows.tolist() == [9, 8, 7]
    assert len(stub.asked) == 13


def test_what_is_refused(stub, data):
    with pytest.raises(SettingsError, match="needs an address"):
        selectit.select(data, served(stub, method="alpagasus", base_url=None))
    with pytest.raises(SettingsError, match="gives no losses") as caught:
        selectit.select(data, served(stub, method="ifd", model=JUDGE))
    assert "loads the model here" in caught.value.hint
    with pytest.raises(SettingsError, match="AlpaGasus's judge is gpt-3.5-turbo"):
        selectit.select(data, served(stub, method="alpagasus", judge="other"))
    assert not stub.asked
