"""Recipes: presets, files, and what is said of mistakes in them."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
import tomli_w

from places import ROOT
from selectit.errors import SettingsError
from selectit.training import recipes
from selectit.training.recipes import Recipe

FILES = Path(recipes.__file__).parent / "recipe_files"


def test_the_presets_are_the_papers():
    paper = recipes.load("paper")
    assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.schedule) == (3, 128, 2e-5, "cosine")
    assert (paper.warmup_ratio, paper.weight_decay, paper.betas, paper.max_tokens) == (0.03, 0, (0.9, 0.999), 4096)
    assert (paper.dtype, paper.lora, paper.template, paper.gradient_checkpointing) == ("bf16", 0, "plain", True)
    mistral, lora = recipes.load("paper-mistral"), recipes.load("paper-lora")
    assert mistral == dataclasses.replace(paper, name="paper-mistral", epochs=1)
    assert lora == dataclasses.replace(paper, name="paper-lora", lora=16, lora_alpha=16, lora_dropout=0.05)
    assert lora.lora_targets == ("q_proj", "k_proj", "v_proj", "o_proj")


@pytest.mark.parametrize("name", ["paper", "paper-lora"])
def test_every_value_of_the_papers_presets_has_its_source(name):
    values = [line for line in (FILES / f"{name}.toml").read_text().splitlines() if " = " in line.partition("#")[0]]
    described = [line for line in values if re.search(r"#.*\w", line)]
    assert len(values) > 9
    if name == "paper":
        assert described == values


def test_toml_out_and_in():
    for name in recipes.names():
        recipe = recipes.load(name)
        assert recipes.from_table(tomllib.loads(tomli_w.dumps(recipe.table())), name, "x") == recipe
    stepped = Recipe(steps=7, betas=[0.9, 0.95], epochs=1)
    assert recipes.from_table(tomllib.loads(tomli_w.dumps(stepped.table())), "own", "x") == stepped


def test_a_file_of_ones_own(folder):
    (folder / "mine.toml").write_text("learning-rate = 1e-3\nlora = 4\n")
    assert recipes.load("mine.toml") == Recipe(name="mine", learning_rate=1e-3, lora=4)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("learning_rat = 1", "mine.toml: a recipe has no 'learning_rat'", "'learning_rate'"),
        ("epochs = 'many'", "mine.toml: epochs is 'many', a value of the wrong kind", ""),
        ("epochs = 0", "mine.toml: epochs is 0", "above 0"),
        ("dtype = 'bf61'", "there is no dtype 'bf61'", "'bf16'"),
        ("batch_size = 10\nmicro_batch = 4", "batch_size is 10 and micro_batch 4", "divisor"),
        ("quantize = 'nf4'", "can't be trained whole", "rank"),
        ("betas = [0.9]", "betas is (0.9,)", "two numbers"),
        ("steps = 0", "steps is 0", "1 or more"),
        ("name = 'x'", "has no 'name'", ""),
        ("epochs =", "mine.toml is not TOML", "docs"),
    ],
)
def test_mistakes(folder, text, said, hint):
    (folder / "mine.toml").write_text(text)
    with pytest.raises(SettingsError) as error:
        recipes.load("mine.toml")
    assert said in error.value.message
    assert hint in error.value.hint


def test_no_such_recipe():
    with pytest.raises(SettingsError, match="Did you mean 'paper-lora'"):
        recipes.load("paper-lra")
    with pytest.raises(SettingsError, match="can't read the recipe gone.toml"):
        recipes.load("gone.toml")


def test_typed_values():
    typed = {"steps": "20", "betas": "0.9,0.95", "lora-targets": "q_proj, v_proj", "gradient_checkpointing": "false"}
    changed = recipes.change(Recipe(), typed)
    assert (changed.steps, changed.betas, changed.lora_targets) == (20, (0.9, 0.95), ("q_proj", "v_proj"))
    assert changed.gradient_checkpointing is False
    with pytest.raises(SettingsError, match="steps is 'ten'"):
        recipes.change(Recipe(), {"steps": "ten"})


DOCS = (ROOT / "docs" / "training.md").read_text()


def test_the_recipe_of_the_documentation_has_every_key_with_its_default():
    block = re.search(r"```toml\n(.*?)```", DOCS, re.DOTALL)[1]
    keys = re.findall(r"^(?:# )?(\w+) = ", block, re.MULTILINE)
    assert set(keys) == {field.name for field in dataclasses.fields(Recipe)} - {"name"}
    assert recipes.from_table(tomllib.loads(block), "own", "docs") == Recipe()


def test_accelerate_reads_the_configuration_of_the_documentation(folder):
    config = pytest.importorskip("accelerate.commands.config.config_args")
    (folder / "fsdp.yaml").write_text(re.search(r"```yaml\n(.*?)```", DOCS, re.DOTALL)[1])
    found = config.load_config_from_file("fsdp.yaml")
    assert (found.distributed_type, found.num_processes, found.mixed_precision) == ("FSDP", 4, "bf16")
    assert found.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    assert recipes.load("paper").batch_size % (found.num_processes * recipes.load("paper").micro_batch) == 0
