"""What a method that tunes a model on the way will cost, before it is begun."""

import dataclasses
import json
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import commandline
import selectit
import tiny
from selectit.config.settings import Settings
from selectit.costs.elsewhere import estimate_elsewhere, read_machine
from selectit.costs.tunings import count_left, plan_trainings
from selectit.errors import SettingsError
from selectit.methods.diverse_evol import DiverseEvol
from selectit.methods.forgetting import Forgetting


@pytest.fixture
def settings(data, tmp_path_factory):
    Path("quick.toml").write_text("batch_size = 4\nmicro_batch = 2\nmax_tokens = 64\nwarmup_ratio = 0\n")
    model = tiny.build_chat(tmp_path_factory.mktemp("chat"))
    param = {"recipe": "quick.toml", "rounds": 2, "epochs": 1.0}
    return Settings(method="diverse-evol", model=model, keep=9, run="run", param=param, dtype="fp32")


def test_trainings_are_counted_by_their_rows():
    planned = plan_trainings(DiverseEvol(rounds=2, epochs=2.0).outline(1000, 300), row_tokens=50)
    assert [(each.rows, each.rows_read, each.steps, each.tokens) for each in planned] == [
        (100, 200, 13, 10_000),
        (200, 400, 25, 20_000),
    ]
    assert [each.rows for each in plan_trainings(Forgetting(rounds=3).outline(40, 1))] == [40, 40, 40]


def test_what_it_will_do(data, settings):
    cost = selectit.plan_tuning(data, settings)
    assert (cost.rows, cost.kept, cost.base_passes, cost.tuned_passes) == (12, 9, 0, 2)
    assert [(each.rows, each.steps) for each in cost.tunings] == [(3, 1), (6, 2)]
    assert cost.tunings[1].tokens == round(6 * cost.row_tokens)
    assert cost.weights > 0 and cost.tuning_seconds > 0 and cost.reading_seconds > 0
    assert {path.name for path in Path("run").iterdir()} == {"manifest.json", "source", "locks", "timing.json"}
    assert cost.all_rows_seconds == pytest.approx(cost.tuning_seconds / 9 * 12)
    (states,) = cost.signals
    assert (states.signal, states.answers, states.passes, states.measured.answers) == ("states", 24, 24, 8)
    assert cost.reading_seconds == pytest.approx(3 * states.measured.seconds)  # twice 12 rows, at the rate of 8


def test_for_more_rows_than_there_are(data, settings):
    more = dataclasses.replace(settings, keep=900)
    cost = selectit.plan_tuning(data, more, sample=2, rows=1200)
    assert (cost.data_rows, cost.rows, cost.kept, [each.rows for each in cost.tunings]) == (12, 1200, 900, [300, 600])
    assert cost.signals[0].passes == 2400
    machine = read_machine("1e12", 1.0, None, None)[0]
    found = estimate_elsewhere(cost, machine)
    assert [part.what for part in found.parts] == ["tuning"] and found.unknown == ("states",)
    (tuning,) = found.parts
    assert tuning.tokens == sum(each.tokens for each in cost.tunings)
    assert tuning.bytes == 2 * cost.weights
    (larger,) = estimate_elsewhere(cost, machine, parameters=10 * tuning.parameters).parts
    assert larger.bytes == pytest.approx(20 * cost.weights) and larger.tokens == tuning.tokens
    assert found.seconds == (pytest.approx(6 * tuning.parameters * tuning.tokens / 1e12),)


def test_gradients_at_checkpoints_are_counted_for_each(data, settings):
    Path("lora.toml").write_text(Path("quick.toml").read_text() + "lora = 2\n")
    Path("sums.jsonl").write_text(json.dumps({"prompt": "Add 1 and 1.", "completion": "2"}))
    param = {"recipe": "lora.toml", "warmup": 0.5, "epochs": 3.0}
    for method in ("less", "gist"):
        cost = selectit.plan_tuning(
            data, dataclasses.replace(settings, method=method, param=param, target="sums.jsonl")
        )
        assert (cost.base_passes, cost.tuned_passes) == (0, 3)
        assert [(each.rows, each.steps) for each in cost.tunings] == [(6, 5)]
        assert cost.reading_seconds > 0
        rows, examples = cost.signals
        assert (rows.of_target, rows.passes) == (False, 36)
        assert (examples.of_target, examples.answers, examples.each, examples.passes) == (True, 1, 3, 3)
        assert "gradients of the target" in estimate_elsewhere(cost, read_machine("1e12", 1.0, None, None)[0]).unknown


@pytest.mark.parametrize("method", ["less", "forgetting"])
def test_what_is_asked_of_a_tuned_model_is_measured_on_one(data, settings, method):
    """The recipe brings a chat template, where the model has none."""
    Path(*settings.model, "chat_template.jinja").unlink()
    quick = Path("quick.toml").read_text().replace("max_tokens = 64", "max_tokens = 200")
    Path("lora.toml").write_text(quick + "lora = 2\ntemplate = 'plain'\n")
    Path("sums.jsonl").write_text(json.dumps({"prompt": "Add 1 and 1.", "completion": "2"}))
    own = {"param": {"recipe": "lora.toml", "epochs": 2.0}, "target": "sums.jsonl" if method == "less" else ()}
    cost = selectit.plan_tuning(data, dataclasses.replace(settings, method=method, **own), sample=2)
    assert cost.reading_seconds > 0 and cost.weights > 0 and not Path("run/rehearsal").exists()


def test_what_a_training_leaves_is_a_model_or_checkpoints(folder):
    Path("checkpoints/checkpoint-2").mkdir(parents=True)
    for name, size in {
        "checkpoints/checkpoint-2/optimizer.pt": 5,
        "model.safetensors": 7,
        "tokenizer.json": 11,
    }.items():
        Path(name).write_bytes(b"x" * size)
    assert (count_left(folder, 4), count_left(folder, 0)) == (20, 7)


def test_what_select_would_refuse_is_not_planned(data, settings):
    Path("warm.toml").write_text(Path("quick.toml").read_text().replace("ratio = 0", "ratio = 0.1"))
    warm = dataclasses.replace(settings, param={**settings.param, "recipe": "warm.toml"})
    with pytest.raises(SettingsError, match=r"3 rows make one step of 4 rows(.|\n)*rows x epochs above 4"):
        selectit.plan_tuning(data, warm)


def test_a_method_that_tunes_nothing(data, settings):
    with pytest.raises(SettingsError, match="length tunes no model"):
        selectit.plan_tuning(data, Settings(method="length"))


def test_what_it_has_no_use_for(capsys, data, settings):
    with pytest.raises(SettingsError, match="--sample is 1"):
        selectit.plan_tuning(data, settings, sample=1)
    code, _, err = commandline.run(capsys, "plan", data, "--method", "delta-loss", "--model", "smollm2", "--proxy", "m")
    assert code == 2 and "--proxy does nothing: delta-loss tunes --model itself" in err


def test_the_command(data, settings, capsys):
    asked = ["--method", "diverse-evol", "--model", *settings.model, "--keep", "9", "--run", "run", "--quiet"]
    asked += [each for name, value in settings.param.items() for each in ("--param", f"{name}={value}")]
    code, told, _ = commandline.run(capsys, "plan", data, *asked)
    assert code == 0
    assert "2, on at most 3, 6 rows: 3 steps" in told and "0 a row before anything is tuned, 2 a row by tuned" in told
    assert "12 rows, of which 9 are to be kept" in told
    code, told, _ = commandline.run(capsys, "plan", data, *asked, "--on", "h100", "--rows", "1200")
    assert "12 rows; planned for 1,200 rows like them, of which 9 are to be kept" in told
    assert "tuned weights that grow with the parameters" in told
    code, told, _ = commandline.run(capsys, "plan", data, *asked, "--json")
    assert json.loads(told)["all_rows_seconds"] > 0
