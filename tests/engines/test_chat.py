"""Chat templates of others: without a place for a system text, and ones that fail, wherever one runs."""

import re
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import selectit
import tiny
from selectit.data.records import Sample
from selectit.engines import chat
from selectit.engines.hf import reward
from selectit.engines.hf.packing import Reader
from selectit.engines.texts import Texts, load_tokenizer
from selectit.errors import ModelError
from selectit.signals.requests import JudgeRequest, RatingPrompt
from selectit.training.examples import plain_template

TURNS = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
GEMMA = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TURNS
MISTRAL = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}" + TURNS
)
SILENT = "{% macro turn(m) %}{{ messages | length }}{% endmacro %}" + TURNS.replace(
    "{{ '<|'", "{% if m['role'] == 'system' %}{% continue %}{% endif %}{{ '<|'"
)
FAILING = "{{ messages[0]['content'] + 1 }}"
FAULTS = (FAILING, "{% for %}", "{{ raise_exception('never') }}", "{{ 1 / 0 }}", "{{ messages.nothing.more }}")
SYSTEM, USER, ANSWER = "Be brief.", "Name a colour.", "Red."
MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]
QUESTION = JudgeRequest(SYSTEM, "{instruction} {response}", max_new_tokens=2)
SAMPLES = [Sample(0, 0, USER, ANSWER)]
PROMPT = RatingPrompt("Rate it.", chat=True)


def nothing(*_):
    """Hears of no progress."""


@pytest.fixture
def with_template(tmp_path):
    """A function of a template: the folder of a chat model with it."""
    folder = tiny.build_chat(tmp_path / "model")

    def change(template):
        words = AutoTokenizer.from_pretrained(folder)
        words.chat_template = template
        words.save_pretrained(folder)
        return folder

    return change


@pytest.mark.parametrize("template", [GEMMA, MISTRAL, SILENT])
def test_the_system_text_stands_before_the_users_where_it_has_no_place(with_template, template):
    words = load_tokenizer(with_template(template))
    later = [*MESSAGES, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "Why?"}]
    assert chat.render_chat(words, later, "") == (
        f"<|user|>{SYSTEM}\n\n{USER}<|end|><|assistant|>{ANSWER}<|end|><|user|>Why?<|end|><|assistant|>"
    )
    assert chat.render_chat(words, MESSAGES[1:], "") == f"<|user|>{USER}<|end|><|assistant|>"
    again = words.chat_template
    chat.place_system_text(words)
    assert words.chat_template == again
    with pytest.raises(ModelError, match="no text of the user follows the system text"):
        chat.render_chat(words, MESSAGES[:1], "")


def test_a_template_with_a_place_for_it_stays_as_it_is(with_template):
    folder = with_template(TURNS)
    assert load_tokenizer(folder).chat_template == TURNS
    assert load_tokenizer(with_template(FAILING)).chat_template == FAILING


def test_a_judge_without_system_role_is_asked_all_the_same(with_template, monkeypatch):
    asked = []
    engine = tiny.load(with_template(GEMMA))
    monkeypatch.setattr(Reader, "generate", lambda _, ids, *rest: (asked.append(ids), ("1", True))[1])
    engine.reply(QUESTION, SAMPLES, nothing)
    said = engine.texts.tokenizer.decode(asked[0])
    assert said == f"<|user|>{SYSTEM}\n\n{USER} {ANSWER}<|end|><|assistant|>"


@pytest.mark.parametrize("template", FAULTS)
def test_a_template_that_fails_is_one_message_wherever_it_runs(with_template, template):
    folder = with_template(template)
    words, engine = load_tokenizer(folder), tiny.load(folder)
    rewards = reward.RewardEngine(AutoModelForCausalLM.from_pretrained(folder), words, {"max_tokens": 100})
    places = [
        lambda: Texts(words, 100, "cut").chat(USER),
        lambda: engine.rate([PROMPT], SAMPLES, nothing),
        lambda: engine.reply(QUESTION, SAMPLES, nothing),
        lambda: rewards.reward(SAMPLES, nothing),
        lambda: chat.frame_answer(words),
    ]
    for ask in places:
        with pytest.raises(ModelError, match=re.escape(f"the chat template of {folder} fails: ")) as caught:
            ask()
        assert caught.value.hint


def test_no_place_but_those_runs_a_template():
    source = Path(selectit.__file__).parent
    found = {
        str(file.relative_to(source))
        for file in source.rglob("*.py")
        if re.search(r"apply_chat_template\(|render_jinja_template\(", file.read_text())
    }
    assert found == {"engines/chat.py", "training/examples.py", "evaluation/harness.py"}


def test_a_frame_has_what_stands_before_an_answer_and_what_of_that_is_the_answer_s():
    words = tiny.tokenizer()
    with pytest.raises(ModelError, match="no chat template"):
        chat.frame_answer(words)
    each = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    words.chat_template = each + "{% if add_generation_prompt %}<assistant>{% endif %}"
    assert chat.frame_answer(words) == chat.AnswerFrame("<user>{instruction}<assistant>", "<assistant>", "")
    words.chat_template = each
    assert chat.frame_answer(words) == chat.AnswerFrame("<user>{instruction}", "", "<assistant>")


def test_the_template_of_tuning_is_that_of_losses():
    words = tiny.tokenizer()
    words.eos_token = "~"
    words.chat_template = plain_template(words)
    frame = chat.frame_answer(words)
    row = [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "Put it in water."}]
    trained = words.apply_chat_template(row, return_dict=False)
    before = words(frame.template.replace("{instruction}", "How?"), add_special_tokens=False)["input_ids"]
    answer = words(frame.lead + "Put it in water.", add_special_tokens=False)["input_ids"]
    assert frame.lead == " "
    assert [*before, *answer, words.eos_token_id] == trained


def test_a_template_that_changes_texts_is_refused():
    words = tiny.tokenizer()
    words.chat_template = "nothing"
    with pytest.raises(ModelError, match="changes the text"):
        chat.frame_answer(words)
