"""The vllm engine over a vLLM that is not one: what it is asked, and what becomes of its answers.

`tests/real/vllm` asks a real one.
"""

import dataclasses
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import types
import weakref

import numpy as np
import pytest
import torch

import selectit
from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.engines import loading
from selectit.engines.loading import check_options
from selectit.errors import EngineError, ModelError, SettingsError
from selectit.models.files import Model
from selectit.runs.annotators import annotators
from selectit.runs.run import open_run
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_TRUNCATED
from selectit.signals.ratings import SAMPLE_FIRST, RatesLabels, RatingPrompt

PROMPT = RatingPrompt("Rate the response from 1 to 5 and answer with the number alone.")
OTHER = RatingPrompt("Is it good or bad?", labels=("2", "4"))
SAMPLES = [Sample(row, 0, f"Name {row} colours.", "Red and blue, " * (row % 3) + "done.") for row in range(7)]


@pytest.fixture
def folder_of_model(folders):
    return folders["llama"]


class Refused(Exception):
    pass


class Dead(Exception):
    pass


@dataclasses.dataclass
class EngineArgs:
    model: str = ""
    tensor_parallel_size: int = 1
    seed: int = 0
    enforce_eager: bool = False
    hf_overrides: dict | None = None


class SamplingParams:
    logprob_token_ids = None

    def __init__(self, **given):
        self.__dict__.update(given)


class LLM:
    """Answers with log-probabilities made from the last ids of the text; notes everything."""

    made: list = []

    def __init__(self, **arguments):
        self.arguments, self.calls, self.closed = arguments, [], False
        dtype = torch.float32 if arguments["dtype"] == "float32" else torch.bfloat16
        core = types.SimpleNamespace(shutdown=lambda timeout: setattr(self, "closed", True))
        self.llm_engine = types.SimpleNamespace(engine_core=core, model_config=types.SimpleNamespace(dtype=dtype))
        self.spoil = lambda ids, found: found
        LLM.made.append(self)

    def generate(self, prompts, params, use_tqdm):
        assert use_tqdm is False
        self.calls.append((prompts, params))
        return [self.answer(p["prompt_token_ids"], s.logprob_token_ids) for p, s in zip(prompts, params, strict=True)]

    def answer(self, ids, labels):
        found = {label: types.SimpleNamespace(logprob=logprob(ids, label)) for label in labels}
        found = self.spoil(ids, found)
        answer = types.SimpleNamespace(logprobs=found and [found], finish_reason="length")
        return types.SimpleNamespace(outputs=[answer])


def logprob(ids, label):
    return -1.0 - (sum(ids) % 97 + label % 7) / 100


@pytest.fixture
def vllm(monkeypatch):
    """The engine's module over the vLLM above."""
    fake = types.ModuleType("vllm")
    fake.__version__, fake.LLM, fake.SamplingParams, fake.EngineArgs = "0.0", LLM, SamplingParams, EngineArgs
    fake.exceptions = types.ModuleType("vllm.exceptions")
    fake.exceptions.VLLMError = fake.exceptions.VLLMClientError = Refused
    fake.exceptions.VLLMServerError = Dead
    fake.platforms = types.ModuleType("vllm.platforms")
    fake.platforms.current_platform = types.SimpleNamespace(device_type="cuda")
    for name in ("vllm", "vllm.exceptions", "vllm.platforms"):
        monkeypatch.setitem(sys.modules, name, sys.modules.get(name))
        sys.modules[name] = fake if name == "vllm" else getattr(fake, name.partition(".")[2])
    for name in ("VLLM_LOGGING_LEVEL", "VLLM_LOGGING_STREAM", "VLLM_NO_USAGE_STATS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "selectit.engines.vllm.engine", None)
    del sys.modules["selectit.engines.vllm.engine"]
    monkeypatch.setattr(LLM, "made", [])
    module = importlib.import_module("selectit.engines.vllm.engine")
    yield module
    while OPEN:
        OPEN.pop().close()


OPEN = []


def load(vllm, folder, **changes):
    OPEN.append(start(vllm, folder, **changes))
    return OPEN[-1]


def start(vllm, folder, **changes):
    return vllm.load(folder, **{"dtype": "fp32", "max_tokens": 200, "engine_param": {}, **changes})


def rate(engine, samples=SAMPLES, prompts=(PROMPT,)):
    batches = []
    return engine.rate(prompts, samples, lambda *batch: batches.append(batch)), batches


def test_what_vllm_is_told(vllm, folder_of_model):
    engine = load(vllm, folder_of_model, batch_tokens=900, engine_param={"tensor_parallel_size": 2})
    assert LLM.made[0].arguments == {
        "model": folder_of_model,
        "dtype": "float32",
        "max_model_len": 201,
        "max_num_batched_tokens": 900,
        "trust_remote_code": False,
        "logprobs_mode": "raw_logprobs",
        "enable_prefix_caching": True,
        "use_tqdm_on_load": False,
        "tensor_parallel_size": 2,
        "hf_overrides": {"head_dtype": "float32"},
    }
    assert engine.settings == {
        "engine": "vllm",
        "dtype": "fp32",
        "device": "cuda",
        "batch_tokens": 900,
        "max_tokens": 200,
        "overflow": "cut",
        "engine_param": '{"tensor_parallel_size": 2}',
    }
    assert isinstance(engine, RatesLabels)
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1" and "stderr" in os.environ["VLLM_LOGGING_STREAM"]


def test_a_dtype_that_is_left_open_is_vllms_on_a_gpu(vllm, folder_of_model):
    assert load(vllm, folder_of_model, dtype="auto").settings["dtype"] == "bf16"
    assert LLM.made[0].arguments["dtype"] == "auto"


def test_on_a_cpu(vllm, folder_of_model):
    sys.modules["vllm.platforms"].current_platform.device_type = "cpu"
    assert load(vllm, folder_of_model, dtype="auto").settings["dtype"] in ("fp32", "bf16")
    assert LLM.made[0].arguments["dtype"] in ("float32", "bfloat16")  # the rule of the hf engine, not vLLM's
    assert LLM.made[0].arguments["block_size"] == 32 and LLM.made[0].arguments["enforce_eager"]
    load(vllm, folder_of_model, engine_param={"enforce_eager": False})
    assert LLM.made[1].arguments["enforce_eager"] is False


def test_parameters_are_those_of_the_hf_engine(vllm, folder_of_model):
    from transformers import AutoModelForCausalLM

    count = AutoModelForCausalLM.from_pretrained(folder_of_model).num_parameters()
    assert load(vllm, folder_of_model).parameters == count


def test_every_text_is_one_request_for_one_token(vllm, folder_of_model):
    engine = load(vllm, folder_of_model)
    (rated, other), batches = rate(engine, prompts=(PROMPT, OTHER))
    ((prompts, params),) = LLM.made[0].calls
    words = engine.texts.tokenizer
    texts = {words.decode(prompt["prompt_token_ids"]): param for prompt, param in zip(prompts, params, strict=True)}
    for sample in SAMPLES:
        assert texts[PROMPT.render(sample.instruction, sample.response)].logprob_token_ids == [
            words(label)["input_ids"][0] for label in "12345"
        ]
        assert len(texts[OTHER.render(sample.instruction, sample.response)].logprob_token_ids) == 2
    for param in params:
        assert (param.max_tokens, param.temperature, param.detokenize) == (1, 0.0, False)
    assert batches == [(14, rated.tokens.sum() + other.tokens.sum())]
    assert (rated.logprob.dtype, rated.logprob.shape, other.logprob.shape) == (np.float32, (7, 5), (7, 2))


def test_answers_go_to_their_rows(vllm, folder_of_model):
    engine = load(vllm, folder_of_model)
    for prompt, rated in zip((PROMPT, OTHER), rate(engine, prompts=(PROMPT, OTHER))[0], strict=True):
        labels = engine.texts.label_ids(prompt, SAMPLES[:1])
        texts = engine.texts.encode([prompt.render(s.instruction, s.response) for s in SAMPLES], chat=False)
        wanted = [[logprob(ids, label) for label in labels] for ids in texts]
        np.testing.assert_array_equal(rated.logprob, np.array(wanted, np.float32))
        assert list(rated.tokens) == [len(ids) for ids in texts] and set(rated.errors) == {None}


def test_texts_that_share_their_beginning_follow_each_other(vllm, folder_of_model):
    engine = load(vllm, folder_of_model)
    prompts = [RatingPrompt(text, SAMPLE_FIRST) for text in ("Is it good?", "Is it helpful?")]
    rate(engine, prompts=prompts)
    texts = [engine.texts.tokenizer.decode(prompt["prompt_token_ids"]) for prompt in LLM.made[0].calls[0][0]]
    samples = [text.partition("\n")[0] for text in texts]
    assert samples[0::2] == samples[1::2] and len(set(samples)) == len(SAMPLES)


def test_progress_comes_chunk_by_chunk(vllm, folder_of_model, monkeypatch):
    monkeypatch.setattr(vllm, "CHUNK", 3)
    (rated,), batches = rate(load(vllm, folder_of_model))
    assert [done for done, _ in batches] == [3, 3, 1]
    assert sum(tokens for _, tokens in batches) == rated.tokens.sum()
    assert [len(prompts) for prompts, _ in LLM.made[0].calls] == [3, 3, 1]


def test_long_texts_are_cut_or_refused_before_vllm_sees_them(vllm, folder_of_model):
    long = Sample(0, 0, "Name three colours.", "Red and blue, " * 200)
    hopeless = Sample(1, 0, "Name three colours. " * 90, "Red.")
    (rated,), _ = rate(load(vllm, folder_of_model, max_tokens=90), [long, hopeless, SAMPLES[0]])
    assert list(rated.flags) == [FLAG_TRUNCATED, FLAG_NO_ROOM, 0]
    assert rated.errors[0] is None and "instruction is too long" in rated.errors[1]
    assert max(len(p["prompt_token_ids"]) for p in LLM.made[0].calls[0][0]) <= 90
    (rated,), _ = rate(load(vllm, folder_of_model, max_tokens=90, overflow="refuse"), [long])
    assert "refuse" in rated.errors[0]


@pytest.mark.parametrize("kind", [Refused, ValueError])
def test_a_text_that_vllm_refuses_is_an_error_of_its_row(vllm, folder_of_model, kind):
    engine = load(vllm, folder_of_model)
    poisoned = engine.texts.encode([PROMPT.render(SAMPLES[4].instruction, SAMPLES[4].response)], chat=False)[0]

    def spoil(ids, found):
        if ids == poisoned:
            raise kind("the prompt is too long\nand more")
        return found

    LLM.made[0].spoil = spoil
    (rated,), batches = rate(engine)
    assert [row for row, error in enumerate(rated.errors) if error] == [4]
    assert rated.errors[4] == "the prompt is too long"
    assert np.isnan(rated.logprob[4]).all() and np.isfinite(np.delete(rated.logprob, 4, 0)).all()
    assert sum(done for done, _ in batches) == len(SAMPLES)


def test_a_label_that_vllm_leaves_out_is_missing_not_zero(vllm, folder_of_model):
    engine = load(vllm, folder_of_model)
    LLM.made[0].spoil = lambda ids, found: dict(list(found.items())[1:])
    (rated,), _ = rate(engine)
    assert all("no log-probability of the tokens" in error for error in rated.errors)
    LLM.made[0].spoil = lambda ids, found: None
    (rated,), _ = rate(engine)
    assert all("no log-probabilities" in error and "length" in error for error in rated.errors)
    assert np.isnan(rated.logprob).all()


def test_not_a_number_is_an_error(vllm, folder_of_model):
    engine = load(vllm, folder_of_model)
    LLM.made[0].spoil = lambda ids, found: {**found, min(found): types.SimpleNamespace(logprob=float("nan"))}
    assert set(rate(engine, SAMPLES[:3])[0][0].errors) == {"non-finite logits"}


def test_a_vllm_that_has_stopped_stops_the_run(vllm, folder_of_model):
    def spoil(ids, found):
        raise Dead("EngineCore encountered an issue.")

    engine = load(vllm, folder_of_model)
    LLM.made[0].spoil = spoil
    with pytest.raises(EngineError, match="vLLM has stopped: EngineCore"):
        rate(engine)


def test_close_ends_its_processes_and_frees_the_model(vllm, folder_of_model, monkeypatch):
    watches, watch = [], vllm.watch
    monkeypatch.setattr(vllm, "watch", lambda processes: watches.append(watch(processes)) or watches[-1])
    engine = start(vllm, folder_of_model)
    assert watches[0].poll() is None
    engine.close()
    assert LLM.made[0].closed and watches[0].returncode is not None
    llm = weakref.ref(LLM.made.pop())
    gc.collect()
    assert llm() is None


def test_its_processes_end_with_this_one(vllm):
    """vLLM's processes outlive one that is killed; what watches them must not let them."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    watch = vllm.watch([str(child.pid)])
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    watch.stdin.close()  # as when this process is killed
    assert child.wait(20) == -signal.SIGKILL and watch.wait(20) == 0


def test_what_can_t_be_loaded_says_why(vllm, folder_of_model, monkeypatch):
    with pytest.raises(SettingsError, match="--engine-param sede: vllm has no such") as caught:
        load(vllm, folder_of_model, engine_param={"sede": 1})
    assert "'seed'" in caught.value.hint

    def refuse(self, **arguments):
        raise Refused("max_model_len is greater than the derived max_model_len")

    monkeypatch.setattr(LLM, "__init__", refuse)
    with pytest.raises(ModelError, match="can't load the model") as caught:
        load(vllm, folder_of_model)
    assert "--max-tokens" in caught.value.hint


def test_an_old_vllm_is_refused(vllm, folder_of_model, monkeypatch):
    monkeypatch.delattr(SamplingParams, "logprob_token_ids")
    with pytest.raises(SettingsError, match="vllm 0.0 doesn't give") as caught:
        load(vllm, folder_of_model)
    assert "0.32" in caught.value.hint


def test_without_vllm_the_message_says_what_to_install(folder_of_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    monkeypatch.delitem(sys.modules, "selectit.engines.vllm.engine", raising=False)
    with pytest.raises(SettingsError, match="the engine vllm can't be loaded") as caught:
        loading.load_engine(Model("m", folder_of_model, "0" * 64, False), Settings(engine="vllm"), {})
    assert "[vllm]" in caught.value.hint


def test_the_token_that_is_made_has_room(vllm, folder_of_model):
    model = Model("m", folder_of_model, "0" * 64, False)
    loading.load_engine(model, Settings(engine="vllm"), {}).close()
    assert LLM.made[0].arguments["max_model_len"] == 512  # the tiny model's context
    with pytest.raises(SettingsError, match="--max-tokens is 512, and m reads 511 tokens at most"):
        loading.load_engine(model, Settings(engine="vllm", max_tokens=512), {})


def test_a_run_goes_on_with_the_parameters_it_began_with(vllm, folder_of_model, data):
    first = Settings(engine="vllm", model=folder_of_model, k=1, limit=9, engine_param={"seed": 3}, dtype="fp32")
    run = selectit.rate(data, first)
    (annotator,) = annotators(open_run(run))
    assert json.loads(annotator.manifest["settings"]["engine_param"]) == {"seed": 3}
    selectit.rate(None, Settings(run=str(run), k=2))
    assert [llm.arguments["seed"] for llm in LLM.made] == [3, 3] and all(llm.closed for llm in LLM.made)
    assert len(annotators(open_run(run))) == 1
    selectit.rate(None, Settings(run=str(run), k=2, engine_param={"seed": 4}))
    assert LLM.made[-1].arguments["seed"] == 4 and len(annotators(open_run(run))) == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "hf", "engine_param": {"seed": 1}}, "--engine-param is for vllm"),
        ({"engine": "vllm", "engine_param": {"max_model_len": 9}}, "max_model_len: it has a flag.*\n.*--max-tokens"),
        ({"engine": "vllm", "engine_param": {"dtype": "half"}}, "dtype: it has a flag of its own\n.*--dtype"),
        ({"engine": "vllm", "engine_param": {"logprobs_mode": "x"}}, "logprobs_mode: selectit sets it"),
        ({"engine": "vllm", "engine_param": {"seed": object}}, "--engine-param seed is"),
        ({"engine": "vllm", "device_map": "auto"}, "--device-map is for --engine hf"),
    ],
)
def test_settings_that_can_t_be(settings, message):
    with pytest.raises(SettingsError, match=message):
        check_options(Settings(**settings))


def test_parameters_on_the_command_line_and_in_a_file(folder):
    from click import Command

    from selectit.cli.options import options, to_settings

    seen = []
    command = options("engine", "engine_param", "config")(lambda **given: seen.append(to_settings(given)))
    made = Command("x", params=list(reversed(command.__click_params__)), callback=command)
    typed = ["--engine-param", "a-b=2", "--engine-param", "c=0.5", "--engine-param", "d=true"]
    made.main([*typed, "--engine-param", "e=auto", "--engine-param", 'f={"g": 1}'], standalone_mode=False)
    assert seen[0].engine_param == {"a_b": 2, "c": 0.5, "d": True, "e": "auto", "f": {"g": 1}}
    (folder / "s.toml").write_text('engine = "vllm"\n[engine-param]\nseed = 5\nload-format = "dummy"\n')
    made.main(["--config", "s.toml"], standalone_mode=False)
    assert seen[1].engine_param == {"seed": 5, "load_format": "dummy"}
