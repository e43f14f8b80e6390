"""Tests whether a model can tell good rows from bad ones: defects are planted, scored, and detected or not.

It makes and tests data sets, and never chooses rows of the data.
"""
