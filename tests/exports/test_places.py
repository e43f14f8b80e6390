"""What layouts of training tools have a place for comes out; what they have none for is refused or named."""

import json

import pytest

import selectit
from selectit.config.settings import Settings
from selectit.errors import DataError

ASK, TELL = {"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}


def run_of(folder, records):
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return selectit.select(
        path, Settings(method="length", keep="100%", order="source", out=str(folder / "o.jsonl"))
    ).run


def rows(made):
    return [json.loads(line) for line in (made.path / "train.jsonl").read_text().splitlines()]


def test_weight_zero_is_kept_by_openai_and_refused_by_others(folder):
    record = {"messages": [ASK, TELL | {"weight": 0}, ASK, TELL | {"weight": 1}]}
    run = run_of(folder, [record] * 10)
    made = selectit.export(run, "openai", folder / "o")
    assert rows(made)[0] == record
    assert made.left_behind == ()
    for target in ("trl", "llama-factory", "axolotl", "hf-dataset", "parquet"):
        with pytest.raises(DataError, match="not to be learned"):
            selectit.export(run, target, folder / target)


def test_llama_factory_keeps_paths_of_images(folder):
    seen = {"messages": [{"role": "user", "content": "<image>q"}, TELL], "images": ["1.jpg"]}
    run = run_of(folder, [seen, {"messages": [ASK, TELL]}])
    made = selectit.export(run, "llama-factory", folder / "o")
    assert sorted(row["images"] for row in rows(made)) == [[], ["1.jpg"]]
    (entry,) = json.loads((made.path / "dataset_info.json").read_text()).values()
    assert entry["columns"]["images"] == "images" and made.left_behind == ()
    with pytest.raises(DataError, match=r"not text \(images\)"):
        selectit.export(run, "trl", folder / "t")


def test_llama_factory_refuses_images_without_a_mark(folder):
    run = run_of(folder, [{"messages": [ASK, TELL], "images": ["1.jpg"]}, {"messages": [ASK, TELL], "images": [1]}])
    with pytest.raises(DataError, match="1 images and 0 <image>") as error:
        selectit.export(run, "llama-factory", folder / "o")
    assert "not a list of paths" in error.value.message


@pytest.mark.parametrize("target", ["trl", "llama-factory", "axolotl"])
def test_context_and_reasoning_come_out(folder, target):
    alpaca = {"instruction": "i", "output": "o", "system": "s", "history": [["a", "b"]], "thinking": "t", "id": 3}
    made = selectit.export(run_of(folder, [alpaca]), target, folder / "o")
    messages = rows(made)[0].get("messages")
    said = messages or rows(made)[0]["conversations"]
    texts = [message.get("content", message.get("value")) for message in said]
    assert texts == ["s", "a", "b", "i", "<think>\nt\n</think>\n\no"]
    assert made.left_behind == ("id",)


def test_the_rejected_answer_is_named(folder):
    made = selectit.export(run_of(folder, [{"prompt": "p", "chosen": "c", "rejected": "x"}]), "trl", folder / "o")
    assert [message["content"] for message in rows(made)[0]["messages"]] == ["p", "c"]
    assert made.left_behind == ("rejected",)
