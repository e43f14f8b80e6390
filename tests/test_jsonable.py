"""Texts that are no JSON or TOML for whatever reason are one kind of error, and what is typed has its limits."""

from pathlib import Path

import pytest

from selectit.config.settings import Settings, read_settings
from selectit.errors import SettingsError
from selectit.jsonable import parse_json, parse_toml
from selectit.selection.choose import parse_keep
from selectit.signals import prompts
from selectit.training import recipes

DEEP, LONG = "[" * 3000 + "]" * 3000, "1" * 5000


@pytest.mark.parametrize(
    ("text", "says"), [(DEEP, "nested too deeply"), (LONG, "too many digits"), ("[1,", "Expecting value")]
)
def test_json(text, says):
    with pytest.raises(ValueError, match=says):
        parse_json(text)


@pytest.mark.parametrize(("text", "says"), [(DEEP, "nested too deeply"), (LONG, "too many digits"), ("]", "Invalid")])
def test_toml_is_refused_wherever_it_is_read(folder, text, says):
    with pytest.raises(ValueError, match=says):
        parse_toml(f"keep = {text}")
    Path("c.toml").write_text(f"keep = {text}")
    for read in (read_settings, prompts.load, recipes.load):
        with pytest.raises(SettingsError, match=f"c.toml is not TOML: .*{says}"):
            read("c.toml")


def test_a_typed_value_that_is_no_toml_stays_a_text():
    for text in (DEEP, LONG):
        with pytest.raises(SettingsError, match="batch_size"):
            recipes.change(recipes.Recipe(), {"batch_size": text})
        assert recipes.change(recipes.Recipe(), {"accelerate": text}).accelerate == text
    assert recipes.change(recipes.Recipe(), {"batch_size": "8"}).batch_size == 8


@pytest.mark.parametrize("share", ["0/" + "1" * 5000, "²/3", "٠/٣", "3/3", "0/0", "1", "-1/3", "0/3/4", ""])
def test_shares_that_are_none(share):
    with pytest.raises(SettingsError, match="--share is ") as error:
        Settings(share=share)
    assert len(error.value.message) < 100


def test_a_share():
    assert Settings(share="2/17").share_numbers() == (2, 17) and Settings().share_numbers() == (0, 1)


@pytest.mark.parametrize("keep", ["1e-400", "1e-13", "0." + "1" * 500, "1" * 5000, "0", "-1%", "nan", "1e999", "²"])
def test_amounts_that_are_none(keep):
    with pytest.raises(SettingsError, match="--keep is ") as error:
        parse_keep(keep)
    assert len(error.value.message) < 100
