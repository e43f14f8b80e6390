"""Made-up signals of every kind, for tests of methods: seeded, a row at a time, so that rows can change places."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit import methods
from selectit.data.records import Sample, Turn
from selectit.data.turns import digest_turns
from selectit.signals.arrays import (
    INSTEAD,
    Embeddings,
    Gains,
    Gradients,
    Judgements,
    Losses,
    Ratings,
    Rewards,
    Signals,
    Target,
)
from selectit.signals.requests import (
    EmbeddingRequest,
    Field,
    GainRequest,
    GradientRequest,
    JudgeRequest,
    LossRequest,
    RewardRequest,
    ScoreOf,
    StateRequest,
    Substitution,
)
from selectit.signals.rows import Rows

WORDS = "the cat sat on a mat and dog ran over hill to see red barn while rain fell soft upon old green roof".split()
VOCABULARY = 7
COPIES = 30
WIDTH = 8


@dataclass(frozen=True)
class Item:
    """One (instruction, response) pair with all that a model could say of it; `broken` has nothing of that."""

    instruction: str
    response: str
    logprob: np.ndarray  # (K, R)
    p: np.ndarray  # (T, VOCABULARY)
    gold: np.ndarray  # (T,)
    alone: np.ndarray  # (1 + COPIES, T)
    noisy: np.ndarray  # (COPIES, T)
    prompt_loss: float
    vector: np.ndarray
    reply: str | None
    reward: float


@dataclass(frozen=True)
class Content:
    """One row."""

    items: tuple[Item, ...]
    source: str

    @property
    def turns(self):
        return tuple(
            turn for item in self.items for turn in (Turn("user", item.instruction), Turn("assistant", item.response))
        )


def content(n=24, seed=0, several=True, broken=True):
    """n rows; every fifth has two answers where `several`; the last is one that nothing is known of where `broken`."""
    rng = np.random.default_rng(seed)
    rows = [
        Content(tuple(_item(rng) for _ in range(2 if several and row % 5 == 0 else 1)), "abc"[row % 7 % 3])
        for row in range(n - broken)
    ]
    return [*rows, Content((_broken(),), "a")] if broken else rows


def _item(rng):
    tokens = int(rng.integers(3, 40))
    p = rng.dirichlet(np.full(VOCABULARY, 0.5), tokens) * 0.99 + 0.01 / VOCABULARY
    gold = np.array([rng.choice(VOCABULARY, p=each) for each in p])
    given = -np.log(p[np.arange(tokens), gold])
    alone = given + rng.normal(0.4, 0.6, (1 + COPIES, tokens))
    alone[:, 0] = np.nan  # as of a model without a token for the beginning
    return Item(
        instruction=" ".join(rng.choice(WORDS, int(rng.integers(2, 9)))),
        response=" ".join(rng.choice(WORDS, tokens)),
        logprob=np.log(rng.dirichlet(np.ones(5), 5) * 0.9),
        p=p,
        gold=gold,
        alone=alone,
        noisy=given + rng.normal(0, 0.1, (COPIES, tokens)),
        prompt_loss=float(rng.uniform(1, 5)),
        vector=rng.normal(size=WIDTH),
        reply=f"{rng.choice([1, 2, 3, 3.5, 4, 4.5, 5])}\nbecause of this and that",
        reward=float(rng.normal()),
    )


def _broken():
    nothing = np.empty(0)
    return Item(
        instruction="Say nothing.",
        response="",
        logprob=np.full((5, 5), np.nan),
        p=np.empty((0, VOCABULARY)),
        gold=nothing.astype(int),
        alone=np.empty((1 + COPIES, 0)),
        noisy=np.empty((COPIES, 0)),
        prompt_loss=np.nan,
        vector=np.full(WIDTH, np.nan),
        reply=None,
        reward=np.nan,
    )


def _examples():
    return content(6, seed=5, several=False, broken=False)


def target(needs):
    """Six examples of two groups, with what `needs` names."""
    examples = _examples()
    return Target(signals(examples, needs), np.array([0, 0, 0, 0, 1, 1]), ("sums", "tools"))


def signals(rows, needs):
    """The signals that `needs` names, and no other, of rows of content."""
    items = [item for content in rows for item in content.items]
    scores = {need.method: _scores(rows, need.method) for need in needs if isinstance(need, ScoreOf)}
    row = np.repeat(np.arange(len(rows)), [len(content.items) for content in rows])
    made, stored = {}, {}
    for need in needs:
        stored |= {
            LossRequest: lambda need=need: {"losses": losses(items, row, need.copies)},
            EmbeddingRequest: lambda: {"embeddings": Embeddings(row, np.stack([i.vector for i in items]).astype("f4"))},
            StateRequest: lambda: {"states": Embeddings(row, np.stack([i.vector for i in items]).astype("f4"))},
            GainRequest: lambda: {"gains": Gains(row, np.stack([i.vector for i in items]).astype("f4"))},
            GradientRequest: lambda need=need: {"gradients": _gradients(need, row, items)},
            JudgeRequest: lambda need=need: {"judgements": _replies(need, row, items)},
            RewardRequest: lambda: {"rewards": Rewards(row, np.array([item.reward for item in items]))},
            Substitution: lambda need=need: {INSTEAD: _instead(need, items, row)},
        }.get(type(need), dict)()
        made |= {
            str: lambda need=need: _named(need, rows),
            ScoreOf: lambda: {"stored_scores": scores},
            Field: lambda need=need: {"stored_field": tuple(_field(need.name, content) for content in rows)},
        }.get(type(need), dict)()
    if "ratings" in needs:
        stored["ratings"] = _ratings(np.stack([item.logprob for item in items])[:, None], row)
    return Signals(_rows(rows), stored, **made)


def follow(steps, rows):
    """What a method that tunes a model on the way returns, and its passes; the tuned models' losses are smaller."""
    answer, passes = None, []
    while True:
        try:
            passes.append(steps.send(answer))
        except StopIteration as end:
            return end.value, passes
        request, pairs = passes[-1].request, passes[-1].pairs
        asked = _examples() if passes[-1].of_target else rows
        if pairs is not None:
            asked = [dataclasses.replace(rows[row], items=rows[row].items[-1:]) for row in pairs.rows]
        answer = signals(asked, (request,)).of(request.signal)
        if isinstance(request, LossRequest):
            answer = dataclasses.replace(answer, given=answer.given * np.float32(0.9) ** len(passes))


def _rows(rows):
    return Rows(
        np.array([digest_turns(content.turns) for content in rows], dtype="V16"),
        np.zeros(len(rows), np.int64),
        np.array([sum(len(item.response.split()) for item in content.items) for content in rows]),
    )


def _ratings(logprob, row):
    zeros = np.zeros(logprob.shape[:3])
    return Ratings(logprob.astype("f4"), row, zeros.astype(np.uint8), zeros.astype("i4"), np.array([100]), ("m",))


def _instead(need, items, row):
    """What the model says of other text depends on what is left of the item's own."""

    def rated(item):
        own = f"{item.instruction if need.instruction is None else ''}/{item.response if need.response is None else ''}"
        return np.log(np.random.default_rng(list(own.encode())).dirichlet(np.ones(5), 5) * 0.9)

    return _ratings(np.stack([rated(item) for item in items])[:, None], row)


def _named(need, rows):
    if need == "ratings":
        return {}
    if need == "tokens":
        return {"stored_tokens": np.array([sum(len(item.gold) for item in content.items) for content in rows])}
    if need == "texts":
        samples = [
            Sample(n, place, item.instruction, item.response)
            for n, content in enumerate(rows)
            for place, item in enumerate(content.items)
        ]
        return {"stored_texts": tuple(samples)}
    raise AssertionError(f"there is no signal {need!r}")


def _replies(question, row, items):
    """Numbers, or lists of tags where JSON is asked for."""
    tags = "JSON" in question.text
    replies = [
        json.dumps(item.instruction.split()) if tags and item.reply is not None else item.reply for item in items
    ]
    return Judgements(row, tuple(replies), "gpt-3.5-turbo")


def _gradients(need, row, items):
    """An item's vector is its gradient; projected, its first numbers again and again."""
    vectors = np.stack([item.vector for item in items])
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    projected = (vectors / norm)[:, np.arange(need.dimensions) % WIDTH]
    examples = np.stack([content.items[0].vector for content in _examples()])
    inner = vectors @ examples.T if need.inner else vectors[:, :0]
    return Gradients(
        row, norm.astype("f4"), projected[:, None].astype("f2"), inner[:, None].astype("f4"), np.array([1.0])
    )


def _field(name, content):
    """A number where the name asks for one, else the source; '' for a row that nothing is known of."""
    if "score" not in name:
        return content.source
    return "" if content.items[0].reply is None else f"{content.items[0].reward:.6g}"


def _scores(rows, text):
    method = methods.build(*methods.parse_spec(text))
    return method.score(signals(rows, method.needs))


def losses(items, row, copies=0):
    """The losses of items, with so many noisy copies."""
    p = np.concatenate([item.p for item in items])
    gold = np.concatenate([item.gold for item in items])
    given = -np.log(p[np.arange(len(p)), gold])
    ordered = np.sort(p, axis=1)
    return Losses(
        row=np.asarray(row),
        start=np.r_[0, np.cumsum([len(item.gold) for item in items])],
        given=np.concatenate([given[None], np.concatenate([item.noisy for item in items], 1)])[: 1 + copies].astype(
            "f4"
        ),
        alone=np.concatenate([item.alone for item in items], axis=1)[: 1 + copies].astype("f4"),
        entropy=-(p * np.log(p)).sum(1).astype("f4"),
        largest=ordered[:, -1].astype("f4"),
        second=ordered[:, -2].astype("f4"),
        squares=(p**2).sum(1).astype("f4"),
        rank=(1 + (p > p[np.arange(len(p)), gold][:, None]).sum(1)).astype("f4"),
        prompt_tokens=np.array([5 + len(item.instruction.split()) for item in items]),
        prompt_loss=np.array([item.prompt_loss for item in items], dtype="f4"),
        truncated=np.zeros(len(items), bool),
    )


def token_losses(given, alone, prompt_tokens=4, prompt_loss=1.0, rank=None):
    """Losses of one item a row from lists of lists of the losses of tokens, for values by hand."""
    sizes = [len(each) for each in given]
    flat = np.concatenate([np.asarray(each, dtype="f4") for each in given])
    zeros = np.zeros(len(flat), "f4")
    return Losses(
        row=np.arange(len(given)),
        start=np.r_[0, np.cumsum(sizes)],
        given=flat[None],
        alone=np.concatenate([np.asarray(each, dtype="f4") for each in alone])[None],
        entropy=zeros, largest=zeros, second=zeros, squares=zeros,
        rank=zeros if rank is None else np.concatenate([np.asarray(each, dtype="f4") for each in rank]),
        prompt_tokens=np.full(len(given), prompt_tokens),
        prompt_loss=np.full(len(given), prompt_loss, dtype="f4"),
        truncated=np.zeros(len(given), bool),
    )  # fmt: skip


def rows(n):
    """n rows of which nothing is known."""
    return Rows(np.arange(n).astype("<u8").repeat(2).view("V16"), np.zeros(n, np.int64), np.ones(n, np.int64))


def write(path, contents):
    """The rows as a data set of conversations."""
    lines = [
        json.dumps({"messages": [{"role": turn.role, "content": turn.text} for turn in content.turns]})
        for content in contents
    ]
    Path(path).write_text("\n".join(lines))
