"""Which tokens have a loss, token by token; and which rows a step reads."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from selectit.config.settings import Settings
from selectit.engines.chat import place_system_text
from selectit.errors import ModelError
from selectit.runs.source import create
from selectit.training.examples import (
    IGNORED,
    SYSTEM,
    build_examples,
    find_answer_end,
    order_examples,
    set_template,
    strip_markers,
)

ALPACA = [
    {"instruction": "Name a colour.", "input": "of the sky", "output": "Blue, 17 ☃ of it."},
    {"instruction": "Say it.", "input": "", "output": "\n  It.\n"},
]
TALK = ["Hi.", "Hello, you.", "And?", "Red <|end|> 5"]
SHAREGPT = [
    {
        "system": "Be brief.",
        "conversations": [
            {"from": who, "value": text} for who, text in zip(["human", "gpt", "human", "gpt"], TALK, strict=True)
        ],
    }
]
MESSAGES = [
    {
        "messages": [
            *({"role": who, "content": text} for who, text in zip(["user", "assistant"] * 2, TALK, strict=True)),
            {"role": "user", "content": "never answered"},
        ]
    }
]


@pytest.fixture(scope="session")
def words():
    def fresh(template="model", chat=tiny.CHAT):
        made = tiny.tokenizer()
        made.add_special_tokens({"eos_token": "<|end|>", "pad_token": "<|pad|>"})
        made.chat_template = chat
        set_template(made, template)
        return made

    return fresh


def made(data, tokenizer, limit=10_000):
    Path("d.json").write_text(json.dumps(data))
    run = create("d.json", Settings(run="r"))
    return build_examples(run, np.arange(run.rows), tokenizer, limit)


def learnt(example, tokenizer):
    """The texts of the runs of tokens with a loss."""
    runs, last = [], IGNORED
    for label in example.labels:
        if label != IGNORED:
            runs = [*runs, [label]] if last == IGNORED else [*runs[:-1], [*runs[-1], label]]
        last = label
    return [tokenizer.decode(each) for each in runs]


def expected(tokenizer, parts):
    """ids and labels of (text, has a loss) parts, tokenised one by one."""
    ids, labels = [], []
    for text, lossy in parts:
        own = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += own
        labels += own if lossy else [IGNORED] * len(own)
    return tuple(ids), tuple(labels)


def test_alpaca_with_the_chat_template(words):
    tokenizer = words()
    first, second = made(ALPACA, tokenizer)
    asked = "<|user|>\nName a colour.\nof the sky<|end|>\n<|assistant|>\n"
    parts = [(asked, False), ("Blue, 17 ☃ of it.<|end|>", True), ("\n", False)]
    assert (first.ids, first.labels) == expected(tokenizer, parts)
    assert learnt(second, tokenizer) == ["\n  It.\n<|end|>"]
    assert find_answer_end(tokenizer, [first]) == tokenizer.eos_token_id


def test_alpaca_with_the_plain_template(words):
    tokenizer = words("plain")
    first, second = made(ALPACA, tokenizer)
    asked = f"{SYSTEM}\n\nHuman: Name a colour.\nof the sky\nAssistant:"
    assert (first.ids, first.labels) == expected(tokenizer, [(asked, False), (" Blue, 17 ☃ of it.<|end|>", True)])
    assert learnt(second, tokenizer) == [" \n  It.\n<|end|>"]


@pytest.mark.parametrize("data", [SHAREGPT, MESSAGES])
def test_every_answer_of_a_conversation_has_a_loss(words, data):
    system = "system" in data[0]
    chat, plain = words(), words("plain")
    turn = "<|{}|>\n{}<|end|>\n"
    parts = [(turn.format("system", "Be brief."), False)] if system else []
    for asked, answer in (TALK[:2], TALK[2:]):
        parts += [(turn.format("user", asked) + "<|assistant|>\n", False), (answer + "<|end|>", True), ("\n", False)]
    [found] = made(data, chat)
    assert (found.ids, found.labels) == expected(chat, parts)
    parts = [("Be brief." if system else SYSTEM, False), ("\n\n", False)]
    for asked, answer in (TALK[:2], TALK[2:]):
        parts += [(f"Human: {asked}\nAssistant:", False), (f" {answer}<|end|>", True), ("\n", False)]
    [found] = made(data, plain)
    assert (found.ids, found.labels) == expected(plain, parts[:-1])


def test_the_tokenizers_own_mask_says_the_same(words):
    tokenizer = words("plain")
    turns = [{"role": who, "content": text} for who, text in zip(["user", "assistant"] * 2, TALK, strict=True)]
    mask = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)["assistant_masks"]
    [found] = made(MESSAGES, tokenizer)
    assert [label != IGNORED for label in found.labels] == [each == 1 for each in mask]
    rendered = tokenizer.apply_chat_template(
        turns, tokenize=False, chat_template=strip_markers(tokenizer.chat_template)
    )
    assert tokenizer(rendered, add_special_tokens=False)["input_ids"] == list(found.ids)


def test_an_end_of_turn_right_after_the_markers_is_learnt(words):
    marked = (
        "{% for m in messages %}{{ m['role'] + ':' }}{% if m['role'] == 'assistant' %}{% generation %}"
        "{{ m['content'] }}{% endgeneration %}{% else %}{{ m['content'] }}{% endif %}{{ '<|end|>\n' }}{% endfor %}"
    )
    tokenizer = words(chat=marked)
    assert learnt(made(MESSAGES, tokenizer)[0], tokenizer) == ["Hello, you.<|end|>", "Red <|end|> 5<|end|>"]


def test_tool_calls_are_answers_and_their_results_are_not(words):
    talk = [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": '{"name": "w"}'},
        {"from": "observation", "value": "Rain"},
        {"from": "gpt", "value": "It rains."},
    ]
    tokenizer = words("plain")
    [found] = made([{"conversations": talk}], tokenizer)
    assert learnt(found, tokenizer) == [' {"name": "w"}<|end|>', " It rains.<|end|>"]


def test_cut_from_the_right(words):
    tokenizer = words()
    whole = made(ALPACA, tokenizer)[0]
    first_loss = next(at for at, label in enumerate(whole.labels) if label != IGNORED)
    cut = made(ALPACA, tokenizer, first_loss + 2)[0]
    assert (cut.ids, cut.labels) == (whole.ids[: first_loss + 2], whole.labels[: first_loss + 2])
    assert (cut.truncated, cut.loss_tokens, whole.truncated) == (True, 2, False)
    assert made(ALPACA, tokenizer, first_loss)[0].loss_tokens == 0


def test_a_template_that_renders_beginnings_otherwise_is_refused(words):
    counted = "{{ messages | length }}{% for m in messages %}{{ m['role'] + m['content'] }}{% endfor %}"
    with pytest.raises(ModelError, match="row 0.*unlike the whole") as error:
        made(ALPACA, words(chat=counted))
    assert "template=plain" in error.value.hint


@pytest.mark.parametrize("marked", [False, True])
def test_a_system_text_that_the_template_refuses_is_learnt_from_before_the_users(words, marked):
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    content = "message['content'] + '<|end|>\\n'"
    turns = tiny.CHAT
    if marked:
        turns = (
            "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' }}{% generation %}"
            "{{ " + content + " }}{% endgeneration %}{% endfor %}"
        )
    tokenizer = words(chat=refuses + turns)
    place_system_text(tokenizer)
    text = tokenizer.decode(made(SHAREGPT, tokenizer)[0].ids)
    assert text.startswith(f"<|user|>\nBe brief.\n\n{TALK[0]}<|end|>\n<|assistant|>\n{TALK[1]}<|end|>")
    assert text.count("Be brief.") == 1 and "<|system|>" not in text


def test_a_template_that_refuses_a_row_is_named(words):
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + tiny.CHAT
    with pytest.raises(ModelError, match="refuses row 0: no system"):
        made(SHAREGPT, words(chat=strict))


def test_no_template_and_no_end_of_text():
    bare = tiny.tokenizer()
    with pytest.raises(ModelError, match="no chat template"):
        set_template(bare, "model")
    with pytest.raises(ModelError, match="no end-of-text token"):
        set_template(bare, "plain")


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    batch=st.integers(1, 9),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_every_row_is_read_once_an_epoch(lengths, batch, epochs, seed):
    order = order_examples(lengths, batch, epochs=epochs, steps=None, seed=seed)
    assert np.bincount(order, minlength=len(lengths)).tolist() == [epochs] * len(lengths)
    for start in range(0, len(order), batch):
        sizes = np.array(lengths)[order[start : start + batch]]
        assert (np.diff(sizes) <= 0).all()


def test_equal_steps_read_equally_many_rows():
    few, many = (order_examples([1] * n, 4, epochs=3, steps=5, seed=0) for n in (6, 60))
    assert len(few) == len(many) == 20
    assert sorted(np.bincount(few)) == [3, 3, 3, 3, 4, 4]
    assert len(set(many.tolist())) == 20


def test_the_order_depends_on_the_seed_alone():
    first, again, other = (order_examples([1] * 30, 4, epochs=1, steps=None, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
