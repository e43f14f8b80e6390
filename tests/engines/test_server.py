"""The server engine against a server that misbehaves: exact ratings or a clear error, no row lost, order kept."""

import asyncio
import json
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from selectit.data.records import Sample
from selectit.engines.server import endpoint
from selectit.engines.server import engine as server_engine
from selectit.engines.server.completions import Entry, Labels, read_answer, read_reply
from selectit.engines.server.endpoint import Malformed, Patience, checked_url, retry_after
from selectit.errors import EngineError, ModelError, SelectitError, SettingsError
from selectit.signals.arrays import FLAG_FLOOR, FLAG_NO_ROOM, FLAG_TRUNCATED
from selectit.signals.ratings import RatesLabels
from selectit.signals.requests import JudgeRequest, RatingPrompt
from selectit.text_tables import printable
from stub_server import KEY, LABELS, RARE, serving

PROMPT = RatingPrompt("Rate the response from 1 to 5 and answer with the number alone.")
OTHER = RatingPrompt("How good is the response, from 1 to 5?")
SAMPLES = [Sample(row, 0, f"Question {row}?", "Red and blue, " * (row % 5) + "done.") for row in range(30)]
PATIENT = Patience(first_wait=0.01)
HURRIED = Patience(tries=3, first_wait=0.01, timeout=0.5)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("SELECTIT_API_KEY", "OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stub():
    with serving() as stub:
        yield stub


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def load(stub):
    engines = []

    def load(**changes):
        engine = server_engine.load(
            "served", **{"base_url": stub.url, "patience": PATIENT, "concurrency": 4, **changes}
        )
        engines.append(engine)
        stub.asked.clear()  # forget how they met
        stub.times.clear()
        return engine

    yield load
    for engine in engines:
        engine.close()


def rate(engine, samples=SAMPLES, prompt=PROMPT):
    return engine.rate([prompt], samples, lambda ratings, tokens: None)[0]


def of_row(number, what, tries=1):
    """A fault of one row's first tries."""
    return lambda text, nth: what if f"Question {number}?" in text and nth < tries else None


# How it asks


def test_token_ids_are_asked_for_where_the_tokenizer_is_known(stub, load, words):
    engine = load(tokenizer_path=words, tokenizer_name="mine")
    assert isinstance(engine, RatesLabels)
    told = []
    rated = engine.rate([PROMPT, OTHER], SAMPLES, lambda ratings, tokens: told.append((ratings, tokens)))
    for prompt, batch in zip((PROMPT, OTHER), rated, strict=True):
        np.testing.assert_array_equal(batch.logprob, stub.expected(prompt, SAMPLES))
        texts = [prompt.render(sample.instruction, sample.response) for sample in SAMPLES]
        assert batch.tokens.tolist() == [len(ids) for ids in stub.words(texts)["input_ids"]]
        assert set(batch.errors) == {None} and not batch.flags.any()
    assert (sum(n for n, _ in told), len(stub.asked)) == (60, 60)
    first = stub.words(PROMPT.render("Question 0?", "done."))["input_ids"]
    (body,) = [asked for asked in stub.asked if asked["prompt"] == first]  # requests arrive in whatever order
    assert (body["max_tokens"], body["temperature"], body["logprob_token_ids"]) == (1, 0, stub.label_ids)
    assert dict(engine.settings) == {
        "engine": "server",
        "model": "served",
        "labels": "ids",
        "max_tokens": 4096,
        "overflow": "cut",
        "missing_label": "nan",
        "tokenizer": "mine",
    }


def test_texts_are_sent_without_a_tokenizer_and_the_server_names_the_label_ids(stub, load):
    engine = load()
    rated = rate(engine)
    np.testing.assert_array_equal(rated.logprob, stub.expected(PROMPT, SAMPLES))
    assert PROMPT.render("Question 0?", "done.") in [asked["prompt"] for asked in stub.asked]  # in whatever order
    assert stub.asked[0]["logprob_token_ids"] == stub.label_ids
    assert rated.tokens[0] == len(stub.words(PROMPT.render("Question 0?", "done."))["input_ids"])
    assert (engine.settings["labels"], engine.settings["tokenizer"], engine.settings["max_tokens"]) == ("ids", "", 0)


def test_white_space_that_is_split_by_what_follows_it_does_no_harm(stub, load):
    stub.joins_space = True
    np.testing.assert_array_equal(rate(load()).logprob, stub.expected(PROMPT, SAMPLES))
    with pytest.raises(ModelError, match="'10' isn't one token"):
        rate(load(), prompt=RatingPrompt("p", labels=("1", "10")))


def test_without_any_token_ids_labels_are_found_by_their_text(stub, load, caplog):
    stub.tokenizes = False
    with caplog.at_level(logging.INFO, "selectit"):
        engine = load()
        rated = rate(engine)
    np.testing.assert_array_equal(rated.logprob, stub.expected(PROMPT, SAMPLES))
    assert "logprob_token_ids" not in stub.asked[0]
    assert engine.settings["labels"] == "top 20"
    assert "can't be checked without --tokenizer" in caplog.text


@pytest.mark.parametrize("form", ["openai", "llama.cpp"])
@pytest.mark.parametrize("what", ["ignored", "refused"])
def test_a_server_that_does_not_take_label_ids(stub, load, words, what, form):
    stub.ids, stub.form = what, form
    engine = load(tokenizer_path=words)
    np.testing.assert_array_equal(rate(engine).logprob, stub.expected(PROMPT, SAMPLES))
    assert engine.settings["labels"] == "top 20"
    assert "logprob_token_ids" not in stub.asked[0]


def test_a_server_that_returns_five_tokens_at_most(stub, load):
    stub.ids, stub.most = "refused", 5
    engine = load()
    rated = rate(engine)
    assert engine.settings["labels"] == "top 5"
    np.testing.assert_array_equal(rated.logprob, stub.expected(PROMPT, SAMPLES))


def test_long_texts_are_cut_to_what_the_server_takes(stub, load, words):
    stub.max_model_len = 81
    engine = load(tokenizer_path=words, context=4096)
    long, hopeless = Sample(0, 0, "Q", "word " * 300), Sample(1, 0, "Q" * 500, "a")
    rated = rate(engine, [long, SAMPLES[0], hopeless])
    assert engine.settings["max_tokens"] == 80
    assert rated.tokens[0] == 80 == max(len(body["prompt"]) for body in stub.asked)  # they are asked at one time
    assert rated.flags.tolist() == [FLAG_TRUNCATED, 0, FLAG_NO_ROOM]
    assert "instruction is too long" in rated.errors[2] and np.isfinite(rated.logprob[:2]).all()
    with pytest.raises(SettingsError, match="80 at most"):
        load(tokenizer_path=words, max_tokens=81)
    with pytest.raises(SettingsError, match="without its tokenizer"):
        load(max_tokens=50)


def test_chat_needs_a_tokenizer_and_uses_its_template(stub, load, folder):
    chat = RatingPrompt(PROMPT.text, chat=True)
    with pytest.raises(ModelError, match="chat template"):
        rate(load(), prompt=chat)
    own = tiny.tokenizer()
    own.chat_template = "<{{ messages[0]['content'] }}>"
    own.save_pretrained(folder / "chat")
    rated = rate(load(tokenizer_path=str(folder / "chat")), SAMPLES[:2], chat)
    assert {stub.text(body) for body in stub.asked} == {
        f"<{chat.render(sample.instruction, sample.response)}>" for sample in SAMPLES[:2]
    }
    assert np.isfinite(rated.logprob).all()


def test_labels_that_are_no_single_token(load, words):
    prompt = RatingPrompt("p", labels=("1", "10"))
    for changes in ({}, {"tokenizer_path": words}):
        with pytest.raises(ModelError, match="'10' isn't one token"):
            rate(load(**changes), prompt=prompt)


def test_a_tokenizer_of_another_model_is_refused(stub, load, folder):
    other = tiny.tokenizer()
    other.add_tokens(["numbers"])
    other.save_pretrained(folder / "other")
    with pytest.raises(ModelError, match="makes other tokens"):
        load(tokenizer_path=str(folder / "other"))
    stub.tokenizes = False
    load(tokenizer_path=str(folder / "other"))  # nothing to compare with


# What goes wrong


@pytest.mark.parametrize(
    "fault",
    [
        (429, {"error": "slow down"}, {"Retry-After": "0"}),
        (429, {}, {"Retry-After": format_datetime(datetime.now(UTC) - timedelta(1), usegmt=True)}),
        (429, {}, {"Retry-After": "soon"}),
        (500, b"oops"),
        (503, {"message": "loading"}),
        "hang",
        "cut",
        (200, b"<html>not JSON</html>"),
        (200, {"choices": []}),
        lambda answer: {"choices": [{"index": 0, "logprobs": {"top_logprobs": [{"1": float("nan")}]}}]},
    ],
    ids=["429", "429 date", "429 no time", "500", "503", "hang", "cut", "no JSON", "no choice", "NaN"],
)
def test_passing_faults_leave_no_trace(stub, load, fault):
    engine = load(patience=replace(PATIENT, timeout=0.5) if fault == "hang" else PATIENT)
    stub.fault = lambda text, nth: fault if nth < 2 and any(f"Question {n}?" in text for n in (3, 4, 17)) else None
    rated = rate(engine)
    np.testing.assert_array_equal(rated.logprob, stub.expected(PROMPT, SAMPLES))
    assert set(rated.errors) == {None}
    assert len(stub.asked) == 36 or fault == "hang"  # a busy machine may be late with others too


def test_choices_in_another_order(stub, load):
    engine = load()
    wrong = {"index": 1, "logprobs": {"top_logprobs": [dict.fromkeys(LABELS, -1.0)]}}
    stub.fault = lambda text, nth: lambda answer: {"choices": [wrong, *answer["choices"]]}
    np.testing.assert_array_equal(rate(engine).logprob, stub.expected(PROMPT, SAMPLES))


@pytest.mark.parametrize(
    "fault, said",
    [
        ((500, {"error": {"message": "boom"}}), "the server answers 500: boom (6 tries)"),
        ((400, {"message": "maximum context length"}), "the server answers 400: maximum context length"),
        ("cut", "the connection was cut (RemoteProtocolError) (6 tries)"),
        ((429, {}, {"Retry-After": "3600"}), "asks to wait 3600 s; 600 s are the most"),
        ((200, b"no"), "the server's answer can't be used: Expecting value: line 1 column 1 (char 0) (6 tries)"),
        (lambda answer: {"choices": [{"logprobs": None}]}, "the server did not return the labels 1, 2, 3, 4, 5"),
    ],
)
def test_a_request_that_keeps_failing_is_a_row_with_an_error(stub, load, fault, said):
    engine = load()
    stub.fault = of_row(7, fault, tries=99)
    rated = rate(engine)
    assert said in rated.errors[7]
    rest = [n for n in range(30) if n != 7]
    np.testing.assert_array_equal(rated.logprob[rest], stub.expected(PROMPT, SAMPLES)[rest])
    assert np.isnan(rated.logprob[7]).all() and [rated.errors[n] for n in rest] == [None] * 29


def test_a_server_that_answers_too_late(stub, load):
    engine = load(patience=HURRIED)
    stub.fault = of_row(7, "hang", tries=99)
    assert rate(engine).errors[7] == "the server did not answer within 0.5 s (3 tries)"


DEEP = b"[" * 200_000


def completion(**changes):
    """A completion of which a part is something else."""
    return {"choices": [{"index": 0, "logprobs": {"top_logprobs": [dict.fromkeys(LABELS, -1.0)]}}], **changes}


def bad(body):
    return "the server's answer can't be used: " + body


@pytest.mark.parametrize(
    "fault, said",
    [
        ((200, DEEP), bad("maximum recursion depth exceeded")),
        ((200, b'{"choices": ' * 900 + b"1" + b"}" * 900), bad("no completion with log-probabilities")),
        ((400, DEEP), "the server answers 400: [[[["),
        ((400, b'{"a": ' * 900 + b"1" + b"}" * 900), "the server answers 400: {"),
        ((200, b" " * (9 << 20)), bad("it is larger than 8 MB (3 tries)")),
        ((400, b"x" * (9 << 20)), bad("it is larger than 8 MB (3 tries)")),
        ((200, b"\x1f\x8b", {"Content-Encoding": "gzip"}), bad("it is compressed, which was not asked for")),
        ((200, b'{"choices": [], "usage": {"prompt_tokens": 1e999}}'), bad("no completion with log-probabilities")),
        ((200, json.dumps(completion()).encode()[:-1] + b', "usage": {"prompt_tokens": 1e999}}'), bad("no completion")),
        ((200, completion(usage={"prompt_tokens": 10**12})), bad("a prompt of 1e+12 tokens")),
        ((200, completion(usage={"prompt_tokens": -1})), bad("a prompt of -1 tokens")),
        ((200, completion(usage={"prompt_tokens": "many"})), bad("no completion")),
        ((200, completion(usage=[1])), bad("no completion")),
        (lambda answer: logprobs({"1": 10**400}), bad("no completion with log-probabilities: OverflowError")),
        (lambda answer: listed(id=[3]), bad("the id of a token is no number")),
        (lambda answer: listed(token={}), bad("no completion")),
        ((429, {}, {"Retry-After": "Mon, 01 Jan 2030 1:1 +99999999999999999999"}), "the server answers 429"),
        ((429, {}, {"Retry-After": "9" * 400}), "asks to wait inf s; 600 s are the most"),
        ((400, {"error": "\x1b[31mred\x07\u202e\r\n\u2028end"}), r"answers 400: \x1b[31mred\x07\u202e end"),
        ((400, b"\x1b]0;title\x07 \xff"), r"the server answers 400: \x1b]0;title\x07 "),
    ],
)
def test_whatever_a_server_answers_is_a_message(stub, load, fault, said):
    engine = load(patience=Patience(tries=3, first_wait=0.01))
    stub.fault = of_row(7, fault, tries=99)
    rated = rate(engine, SAMPLES[:10])
    assert said in rated.errors[7] and len(rated.errors[7]) < 300
    assert rated.errors[7].isprintable()
    assert [error for n, error in enumerate(rated.errors) if n != 7] == [None] * 9
    assert (rated.tokens >= 0).all()


def logprobs(found):
    return completion(choices=[{"logprobs": {"top_logprobs": [found]}}])


def listed(**changes):
    entry = {"id": 3, "token": "1", "logprob": -1.0, **changes}
    return completion(choices=[{"logprobs": {"content": [{"top_logprobs": [entry]}]}}])


def test_a_trickle_ends_with_the_time_of_one_request(stub, load):
    engine = load(patience=Patience(tries=2, first_wait=0.01, timeout=0.5))
    stub.fault = of_row(7, "drip", tries=99)
    began = time.monotonic()
    assert rate(engine, SAMPLES[:10]).errors[7] == "the server did not answer within 0.5 s (2 tries)"
    assert time.monotonic() - began < 30  # the drip goes on for longer


def test_names_of_models_are_shown_and_not_obeyed(stub, load):
    stub.models = ["\x1b[2Jfirst"]
    with pytest.raises(EngineError, match="no model 'served'") as caught:
        load()
    assert r"\x1b[2Jfirst" in caught.value.hint


@pytest.mark.parametrize(
    "value", [DEEP, b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}']
)
def test_a_judge_that_answers_nonsense(stub, value):
    judge = server_engine.load_judge("served", base_url=stub.url, patience=Patience(tries=2, first_wait=0.01))
    stub.fault = lambda text, nth: (200, value)
    (reply,) = judge.reply(JudgeRequest("Judge.", "{instruction}{response}"), SAMPLES[:1], lambda *_: None)
    judge.close()
    assert reply.text is None and "the server's answer can't be used" in reply.error


@given(reason=st.one_of(st.text(), st.recursive(st.none(), lambda inner: st.lists(inner, max_size=2), max_leaves=5)))
def test_why_a_reply_ended_is_one_printable_line(reason):
    value = {"choices": [{"message": {"content": "x"}, "finish_reason": reason}]}
    end = read_reply(value).end
    assert printable(end) == end and len(end) <= 80 and "\n" not in end


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z]{3}, ?[0-9 :+.-]{0,40}[A-Z]{0,3}[+-]?[0-9]{0,25}", fullmatch=True)))
def test_any_retry_after_is_a_time(value):
    assert retry_after(value, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) >= 0


def test_the_same_error_twenty_times_stops_the_run(stub, load):
    engine = load(concurrency=1, patience=Patience(tries=1))
    stub.fault = lambda text, nth: (500, {"error": "out of memory"})
    with pytest.raises(EngineError, match="20 rows in a row .*out of memory") as caught:
        rate(engine)
    assert "server is at fault" in caught.value.hint and len(stub.asked) == 20
    stub.fault = lambda text, nth: None
    assert set(rate(engine).errors) == {None}  # nothing is left over of the stopped call


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_key_or_model_that_is_gone_stops_the_run_at_once(stub, load, status):
    engine = load(concurrency=1)
    stub.fault = lambda text, nth: (status, {"error": "no"})
    with pytest.raises(EngineError, match=str(status)):
        rate(engine)
    assert len(stub.asked) == 1


def test_retry_after_holds_back_every_request(stub, load, monkeypatch):
    engine = load(concurrency=1)
    monkeypatch.setattr(endpoint, "retry_after", lambda value, now: 0.25 if value == "1" else 0.0)
    stub.fault = of_row(3, (429, {}, {"Retry-After": "1"}))
    rate(engine, SAMPLES[:6])
    assert np.diff(stub.times)[3] >= 0.25


def test_retry_after_in_both_forms():
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert retry_after("17", now) == 17
    assert retry_after("Fri, 02 Jan 2026 03:04:35 GMT", now) == 30
    assert retry_after("Fri, 02 Jan 2026 03:04:00 GMT", now) == 0
    assert [retry_after(value, now) for value in ("", "soon", "-3")] == [0, 0, 0]


def test_requests_are_bounded_and_connections_used_again(stub, load):
    engine = load(concurrency=4)
    stub.connections, stub.slow = 0, 0.01
    rate(engine)
    assert stub.most_under_way == 4
    assert stub.connections <= 4


def test_it_works_where_an_event_loop_runs_already(stub, load):
    engine = load()

    async def notebook():
        return rate(engine, SAMPLES[:3])

    np.testing.assert_array_equal(asyncio.run(notebook()).logprob, stub.expected(PROMPT, SAMPLES[:3]))


# Labels that are not returned


MIXED = [Sample(n, 0, f"Question {n}? " + (RARE if n % 3 == 0 else ""), "x") for n in range(90)]


def test_a_label_that_is_not_returned_is_missing(stub, load):
    stub.ids = "ignored"
    rated = rate(load(), MIXED)
    expected = stub.expected(PROMPT, MIXED)
    expected[::3, 4] = np.nan
    np.testing.assert_array_equal(rated.logprob, expected)
    assert {rated.errors[n] for n in range(0, 90, 3)} == {"the server did not return the labels 5"}
    assert sum(error is None for error in rated.errors) == 60 and not rated.flags.any()


def test_the_floor_is_the_smallest_that_was_returned(stub, load):
    stub.ids = "ignored"
    rated = rate(load(missing_label="floor"), MIXED)
    expected = stub.expected(PROMPT, MIXED)
    for n in range(0, 90, 3):
        expected[n, 4] = np.sort(stub.logprob(PROMPT.render(MIXED[n].instruction, "x")))[-20]
    np.testing.assert_array_equal(rated.logprob, expected)
    assert rated.flags.tolist() == [FLAG_FLOOR * (n % 3 == 0) for n in range(90)]
    assert set(rated.errors) == {None}


def test_a_server_that_mostly_leaves_labels_out_is_refused(stub, load):
    stub.ids = "ignored"
    rare = [Sample(n, 0, f"Question {n}? {RARE}", "x") for n in range(90)]
    engine = load(concurrency=1)
    with pytest.raises(EngineError, match="64 of the first 64 answers lack labels") as caught:
        rate(engine, rare)
    assert "--missing-label floor" in caught.value.hint and len(stub.asked) == 64
    assert (rate(load(missing_label="floor"), rare).flags == FLAG_FLOOR).all()
    few = rate(load(), rare[:30])  # too few to judge: each row says it
    assert None not in few.errors


def test_a_server_without_log_probabilities_is_refused(stub, load):
    stub.fault = lambda text, nth: lambda answer: {"choices": [{"index": 0, "text": "x", "logprobs": None}]}
    with pytest.raises(EngineError, match="no log-probabilities") as caught:
        load()
    assert "text-generation-inference" in caught.value.hint


@pytest.mark.parametrize(
    "ids, entries, found",
    [
        (None, [("1", -1), (" 2", -2), ("▁2", -3), ("12", -4)], [-1, np.nan]),
        (None, [("1", -5), ("1", -1), ("2", -2)], [-1, -2]),
        (None, [("token_id:7", -1), ("2", -2)], [np.nan, -2]),
        ((7, 8), [("token_id:7", -1), ("token_id:9", -2)], [-1, np.nan]),
        ((7, 8), [("1", -1), ("2", -2)], [-1, -2]),
    ],
)
def test_which_entry_is_a_label(ids, entries, found):
    given = {"choices": [{"logprobs": {"top_logprobs": [dict(entries)]}}]}
    read = read_answer(given).entries if len(dict(entries)) == len(entries) else [Entry(None, *e) for e in entries]
    np.testing.assert_array_equal(Labels(("1", "2"), ids).values(read), np.array(found, np.float32))


def test_labels_with_a_space_and_entries_with_ids():
    spaced = Labels((" 1", " 2"), None)
    read = [Entry(None, "▁1", -1.0), Entry(None, "Ġ2", -2.0), Entry(None, "1", -0.1)]
    assert spaced.values(read).tolist() == [-1, -2]
    content = [
        {"token": "1", "top_logprobs": [{"id": 5, "token": "1", "logprob": -1}, {"id": 9, "token": "1", "logprob": -2}]}
    ]
    found = read_answer({"choices": [{"index": 0, "logprobs": {"content": content}}]}).entries
    assert Labels(("1",), (9,)).values(found).tolist() == [-2]
    with pytest.raises(Malformed):
        read_answer({"choices": [{"logprobs": {"top_logprobs": [{"1": 0.5}]}}]})


# Meeting the server


def test_nothing_listens(load):
    with pytest.raises(EngineError, match="can't connect to http://127.0.0.1:9/v1") as caught:
        load(base_url="http://127.0.0.1:9")
    assert "Start the server" in caught.value.hint


def test_a_slow_start_is_waited_for(stub, load):
    stub.fault = lambda text, nth: (503, {"message": "loading the model"}) if nth < 2 else None
    np.testing.assert_array_equal(rate(load()).logprob, stub.expected(PROMPT, SAMPLES))


def test_a_wrong_model_and_a_wrong_address(stub, load):
    stub.models = ["first", "second"]
    with pytest.raises(EngineError, match="no model 'served'") as caught:
        load()
    assert "first, second" in caught.value.hint
    with pytest.raises(EngineError, match="/v2/completions: the server answers 404") as caught:
        load(base_url=stub.url + "/v2")
    assert "--base-url" in caught.value.hint


def test_the_key_comes_from_the_environment_and_is_never_told(stub, load, monkeypatch):
    stub.key = KEY
    with pytest.raises(EngineError, match="refuses the key") as caught:
        load()
    assert "SELECTIT_API_KEY" in caught.value.hint
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another")
    with pytest.raises(EngineError) as caught:
        load()
    assert "sk-of" not in str(caught.value) + str(caught.value.__cause__)
    monkeypatch.setenv("SELECTIT_API_KEY", KEY)
    engine = load()
    stub.fault = of_row(7, (400, {"error": f"the request of {KEY} is bad"}))
    rated = rate(engine)
    assert rated.errors[7] == "the server answers 400: the request of … is bad"
    assert stub.told_keys == {"", "sk-of-another", KEY}


def test_a_key_that_is_none(load, monkeypatch):
    monkeypatch.setenv("SELECTIT_API_KEY", "sk-secret\nX: y")
    with pytest.raises(SettingsError, match="SELECTIT_API_KEY has characters") as caught:
        load()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "given, url",
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("https://h/api/v1/", "https://h/api/v1"),
    ],
)
def test_addresses(given, url):
    assert checked_url(given) == url


@pytest.mark.parametrize(
    "given",
    ["localhost:8000", "ftp://h/v1", "http://", "http://me:secret@h/v1", "http://h/?a=b", "::", "http://x xn--"],
)
def test_addresses_that_are_none(given):
    with pytest.raises(SelectitError) as caught:
        checked_url(given)
    assert "secret" not in str(caught.value)
