"""Data sets side by side: what is planted is counted, stored answers serve, and each finding has its sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from commandline import run_cli
from selectit.assessing.assess import assess
from selectit.assessing.findings import percent
from selectit.assessing.report import assessment_lines
from selectit.assessing.texts import breaks_off
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.inference.rate import open_or_create_run
from selectit.runs.output import data_name  # noqa: F401
