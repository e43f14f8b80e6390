"""Rating prompts: rendering, files, fitting into the token limit."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import selectit
from places import GOLDEN
from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.engines import fitting
from selectit.engines.fake import FakeEngine
from selectit.errors import SettingsError
from selectit.numerics.label_probs import expected
from selectit.signals import prompts, ratings


def test_the_packaged_prompts_are_the_golden_ones():
    lines = [line for line in (GOLDEN / "prompts.txt").read_text().split("\n") if line]
    assert list(prompts.packaged().texts) == lines
    assert prompts.packaged().labels == ("1", "2", "3", "4", "5")


def test_the_rated_text_is_the_published_one():
    prompt = ratings.RatingPrompt("Rate it.")
    assert prompt.render("Do\nthis", "Done") == "Rate it.\n\nInstruction:Do\nthis\nResponse:Done\nThe answer is: \n"


def test_braces_in_the_sample_are_plain_text():
    assert "Instruction:{response}\nResponse:{prompt}\n" in ratings.RatingPrompt("{instruction}").render(
        "{response}", "{prompt}"
    )


def test_every_part_changes_the_fingerprint():
    base = ratings.RatingPrompt("a")
    others = [
        ratings.RatingPrompt("b"),
        ratings.RatingPrompt("a", template=ratings.TEMPLATE + " "),
        ratings.RatingPrompt("a", labels=("1", "2")),
    ]
    assert len({prompt.fingerprint for prompt in [base, *others]}) == 4


def test_a_text_file_has_one_prompt_a_line(folder):
    (folder / "mine.txt").write_text("\ufeffFirst.\n\n  Second. \r\n")
    found = prompts.load("mine.txt")
    assert (found.name, found.texts, found.template) == ("mine", ("First.", "Second."), ratings.TEMPLATE)


def test_toml_round_trip(folder):
    import tomli_w

    given_set = prompts.PromptSet("x", ("a", "b"), "{prompt}|{instruction}|{response}", ("no", "yes"))
    (folder / "x.toml").write_text(tomli_w.dumps(prompts.to_toml_table(given_set)))
    assert prompts.load("x.toml") == given_set


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.txt", " \n\n", "no prompts"),
        ("p.txt", "a\na\n", "same prompt twice"),
        ("p.toml", "prompts = [1]", "list of strings"),
        ("p.toml", "prompts = ['a'", "is not TOML"),
        ("p.toml", "prompt = ['a']", "unknown key 'prompt'"),
        ("p.toml", "prompts = ['a']\nlabels = ['1', '1']", "two or more different"),
        ("p.toml", "prompts = ['a']\ntemplate = '{prompt} {response}'", "{instruction} exactly once"),
    ],
)
def test_wrong_prompt_files_are_refused(folder, name, text, says):
    (folder / name).write_text(text)
    with pytest.raises(SettingsError) as error:
        prompts.load(name)
    assert says in str(error.value)


def test_the_instruction_alone_is_rated_where_the_method_says_so(folder, data):
    (folder / "p.toml").write_text(
        "prompts = ['How hard?']\nlabels = ['1', '2', '3', '4', '5', '6']\ntemplate = '{prompt} {instruction}: '"
    )
    fake = {"engine": "fake", "model": ("m",), "prompts": "p.toml", "k": 1, "run": "run"}
    with pytest.raises(SettingsError, match="has no {response}, and this method rates responses"):
        selectit.rate(data, Settings(**fake, method="selectit", level="token"))
    assert not Path("run").exists()
    selectit.rate(data, Settings(**fake, method="expected-rating"))
    score = selectit.score("run", Settings(method="expected-rating", k=1)).score
    assert score[3] == score[10] and len(set(score.tolist())) == 11  # one pair of twelve questions is the same
    assert score[4] == pytest.approx(expected(FakeEngine("m", 99)._logprob("How hard? Question 4?: ", 6)), abs=1e-5)


def test_a_missing_file_and_too_few_prompts():
    with pytest.raises(SettingsError, match="can't read"):
        prompts.load("no.txt")
    with pytest.raises(SettingsError, match="9 prompts"):
        prompts.packaged().first(10)


def encode(text):
    return list(text.encode())  # a tokenizer of bytes: cutting a character can shorten by more than one token


@given(st.text(max_size=300), st.integers(0, 400))
def test_the_longest_response_that_fits_is_kept(response, room):
    prompt = ratings.RatingPrompt("p")
    sample = Sample(0, 0, "i", response)
    bare = len(encode(prompt.render("i", "")))
    ids = encode(prompt.render("i", response))
    fitted = fitting.fit(prompt, sample, encode, bare + room, cut=True, ids=ids)
    text = bytes(fitted.ids).decode()
    assert text.endswith("\nThe answer is: \n")
    assert fitted.truncated == (len(ids) > bare + room)
    kept = text[len("p\n\nInstruction:i\nResponse:") : -len("\nThe answer is: \n")]
    assert response.startswith(kept)
    assert len(fitted.ids) <= bare + room
    if fitted.truncated:
        assert len(encode(prompt.render("i", response[: len(kept) + 1]))) > bare + room


def test_no_room_or_no_leave_to_cut():
    prompt, sample = ratings.RatingPrompt("p"), Sample(0, 0, "i" * 50, "r" * 50)
    ids = encode(prompt.render(sample.instruction, sample.response))
    with pytest.raises(fitting.TooLong, match="instruction is too long"):
        fitting.fit(prompt, sample, encode, 60, cut=True, ids=ids)
    with pytest.raises(fitting.TooLong, match="refuse"):
        fitting.fit(prompt, sample, encode, len(ids) - 1, cut=False, ids=ids)
