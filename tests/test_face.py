"""The package's face: its public names, and that it loads nothing before they are used."""

import ast
import importlib
import subprocess
import sys

import pytest

import selectit
from places import ROOT

TREE = ast.parse((ROOT / "src" / "selectit" / "__init__.py").read_text())


def assigned(name):
    """The value of a name that the file assigns."""
    (value,) = (
        node.value for node in TREE.body if isinstance(node, ast.Assign) and name in [each.id for each in node.targets]
    )
    return ast.literal_eval(value)


def imported_for_types():
    """Each name that a type checker sees, and the module that it has it from."""
    (block,) = (node for node in TREE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    assert all(isinstance(node, ast.ImportFrom) and node.level == 0 for node in block.body)
    return {alias.asname or alias.name: node.module for node in block.body for alias in node.names}


def test_the_map_the_list_and_the_type_checker_agree():
    homes = {name: f"selectit.{module}" for name, module in assigned("_HOMES").items()}
    assert homes == imported_for_types()
    assert sorted(homes) == assigned("__all__") == selectit.__all__


@pytest.mark.parametrize("name", assigned("__all__"))
def test_a_public_name_is_what_its_module_has(name):
    public = getattr(selectit, name)
    assert public is getattr(importlib.import_module(imported_for_types()[name]), name)
    assert public.__module__ == imported_for_types()[name], "it is named by another module than the one that defines it"
    assert name in dir(selectit) and public.__doc__


def test_other_names_are_none():
    with pytest.raises(AttributeError, match="module 'selectit' has no attribute 'selct'"):
        selectit.selct  # noqa: B018


HELP = "from selectit.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"


@pytest.mark.parametrize("code", ["import selectit", "import selectit; dir(selectit)", HELP])
def test_importing_and_help_load_nothing_heavy(code):
    listed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "transformers", "numpy", "pyarrow"} & set(listed.stdout.split())
