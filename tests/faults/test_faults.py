"""A part of the faults, drawn anew with each version of the program; `make faults` has all of them."""

import pytest

from faults import BAD, Told, judge, prepared, report, run_all, try_damage, try_system
from selectit import __version__
from selectit.errors import RunError
from selectit.runs import files, sums


def bad(found):
    return [outcome for outcome in found if outcome.what in BAD]


def test_no_fault_goes_unnoticed():
    found = run_all(__version__, number=44, each=1, failures=16)
    assert len(found) == 60
    assert not bad(found), report(found)
    assert {"unchanged", "refused"} <= {outcome.what for outcome in found}


def test_without_sums_they_would(monkeypatch):
    with prepared() as base:
        monkeypatch.setattr(files, "unsealed", lambda path, value, place: (value.pop("stored", None), value)[1])
        found = [
            outcome
            for seed in range(8)
            for outcome in try_damage(base, "data.json", "selections/chosen/summary.json", "edit", ["show"], str(seed))
        ]
    assert "silent" in {outcome.what for outcome in found}, report(found)


@pytest.mark.parametrize(
    ("code", "said", "noted", "what"),
    [
        (0, "a", "", "unchanged"),
        (0, "a", "scores/x.toml is damaged: its rows are done again", "mended"),
        (0, "b", "", "silent"),
        (0, "b", "scores/x.toml is damaged", "named"),
        (2, "", "error: run/scores/x.toml is damaged", "refused"),
        (2, "", "error: no", "unnamed"),
        ("Traceback", "", "", "traceback"),
    ],
)
def test_outcomes_are_told_apart(code, said, noted, what):
    assert judge(Told(code, said, noted, {}), Told(0, "a", "", {}), ["scores/x.toml"]) == what


def test_a_disk_that_fails_while_it_is_read(monkeypatch):
    with prepared() as base:
        found = [try_system(base, "data.json", "read error", verb, verb) for verb in ("show", "score", "select-data")]
    assert {outcome.what for outcome in found} == {"refused"}, report(found)
    assert all("error: run/" in outcome.told.noted or "run/" in outcome.told.noted for outcome in found)


def test_damage_is_a_run_error():
    assert issubclass(sums.DamagedError, RunError)
