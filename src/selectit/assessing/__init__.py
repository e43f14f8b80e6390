"""`selectit assess`: what whole data sets are worth, side by side."""

from __future__ import annotations
