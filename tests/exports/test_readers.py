"""What `selectit export` writes, read by the tools themselves where they are installed."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import selectit
from selectit.config.settings import Settings

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TALKS = [
    [("user", "{a} «b» 😀\n"), ("assistant", "Grüße {{x}}")],
    [("system", "Be brief."), ("user", "one"), ("assistant", "eins"), ("user", "two"), ("assistant", "zwei")],
    [("system", ""), ("user", "q"), ("assistant", "long answer with more words than the others have")],
]
CALLS = [
    ("user", "who?"),
    ("tool_call", '{"name": "f", "arguments": {"q": 1}}'),
    ("tool", "nobody"),
    ("assistant", "Nobody."),
]
pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours


def messages(talk):
    return [{"role": role, "content": content} for role, content in talk]


def exported(to, talks=TALKS, copies=1):
    """The folder and the conversations in its order."""
    records = [{"messages": messages(talk)} for talk in talks] * copies
    Path("talks.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    selected = selectit.select("talks.jsonl", Settings(run="run", method="length", keep=len(records)))
    done = selectit.export("run", to)
    return done.path, [records[row]["messages"] for row in selected.selection.rows]


@pytest.fixture
def tokenizer():
    pytest.importorskip("torch")
    import tiny

    made = tiny.tokenizer()
    made.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})
    made.pad_token = made.eos_token
    made.chat_template = TEMPLATE
    return made


@pytest.mark.parametrize("to", ["hf-dataset", "trl", "axolotl", "ms-swift", "openai", "llama-factory", "parquet"])
def test_datasets_loads_every_folder(to):
    datasets = pytest.importorskip("datasets")
    path, talks = exported(to, copies=4)
    found = datasets.load_dataset(str(path), split="train", cache_dir="cache")
    if to == "llama-factory":
        words = {"system": "system", "human": "user", "gpt": "assistant"}
        read = [[{"role": words[m["from"]], "content": m["value"]} for m in row] for row in found["conversations"]]
    else:
        read = list(found["messages"])
    assert read == talks


def needs_trl():
    if importlib.util.find_spec("trl") is None:
        pytest.skip("trl is not installed: pip install trl")


@pytest.mark.parametrize("to", ["trl", "hf-dataset"])
def test_trl_sees_conversations(to, tokenizer):
    needs_trl()
    import datasets
    from trl.data_utils import apply_chat_template, is_conversational

    path, talks = exported(to)
    found = datasets.load_dataset(str(path), split="train", cache_dir="cache")
    assert all(is_conversational(row) for row in found)
    for row, talk in zip(found, talks, strict=True):
        expected = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in talk)
        assert apply_chat_template(row, tokenizer)["text"] == expected


def test_trl_trains_on_it(tokenizer, tmp_path):
    needs_trl()
    import datasets
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    import tiny

    path, talks = exported("trl")
    model = AutoModelForCausalLM.from_pretrained(tiny.build(tmp_path / "model"))
    model.resize_token_embeddings(len(tokenizer))
    trainer = SFTTrainer(
        model,
        args=SFTConfig("out", max_steps=1, report_to=[], use_cpu=True, bf16=False, per_device_train_batch_size=3),
        train_dataset=datasets.load_dataset(str(path), split="train", cache_dir="cache"),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(talks)
    text = tokenizer.decode(trainer.train_dataset[0]["input_ids"])
    assert talks[0][-1]["content"] in text
    assert trainer.train().training_loss > 0


@pytest.mark.parametrize("talks", [TALKS, [*TALKS, CALLS]])
def test_llama_factory_loads_every_row(talks):
    if importlib.util.find_spec("llamafactory") is None:
        pytest.skip("LLaMA-Factory is not installed: pip install llamafactory")
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list

    path, chosen = exported("llama-factory", talks)
    (name,) = json.loads((path / "dataset_info.json").read_text())
    (entry,) = get_dataset_list([name], str(path))
    arguments = SimpleNamespace(
        dataset_dir=str(path),
        media_dir=str(path),
        streaming=False,
        preprocessing_num_workers=None,
        overwrite_cache=True,
        max_samples=None,
    )
    model = SimpleNamespace(cache_dir="cache", hf_hub_token=None)
    rows = _load_single_dataset(entry, model, arguments, SimpleNamespace(local_process_index=0))
    names = {"tool_call": "function", "tool": "observation"}
    for row, talk in zip(rows, chosen, strict=True):
        system = talk[0]["content"] if talk[0]["role"] == "system" else ""
        assert row["_system"] == system
        rest = [m for m in talk if m["role"] != "system"]
        expected = [{"role": names.get(m["role"], m["role"]), "content": m["content"]} for m in rest]
        assert row["_prompt"] + row["_response"] == expected


def test_axolotl_trains_on_the_answers(tokenizer):
    if importlib.util.find_spec("axolotl") is None:
        pytest.skip("axolotl is not installed: pip install axolotl")
    from axolotl.prompt_strategies.chat_template import load
    from axolotl.utils.data.shared import load_dataset_with_config
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.datasets import SFTDataset

    path, talks = exported("axolotl")
    (entry,) = yaml.safe_load((path / "axolotl.yaml").read_text())["datasets"]
    entry = SFTDataset(**entry)
    rows = load_dataset_with_config(DictDefault(entry.model_dump()), use_auth_token=False, streaming=False)
    rows = rows["train"] if hasattr(rows, "keys") else rows
    strategy = load(tokenizer, DictDefault(sequence_len=512, train_on_inputs=False), entry)
    for row, talk in zip(rows, talks, strict=True):
        read = strategy.tokenize_prompt(row)
        trained = [token for token, label in zip(read["input_ids"], read["labels"], strict=True) if label != -100]
        answers = [m["content"] for m in talk if m["role"] == "assistant"]
        assert [each for each in tokenizer.decode(trained).split("<|im_end|>") if each.strip()] == answers


def test_ms_swift_keeps_every_message():
    if importlib.util.find_spec("swift") is None:
        pytest.skip("ms-swift is not installed: pip install ms-swift")
    import datasets
    from swift.dataset.preprocessor import AutoPreprocessor

    path, talks = exported("ms-swift", [*TALKS, CALLS])
    rows = datasets.load_dataset("json", data_files=str(path / "train.jsonl"), split="train", cache_dir="cache")
    read = AutoPreprocessor()(rows, strict=True, load_from_cache_file=False)
    assert list(read["messages"]) == talks
