"""Keeps the run directory, the program's only state: its source, stored columns, selections and output.

It never loads a model and never decides what is good.
"""
