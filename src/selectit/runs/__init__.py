"""The run directory, the only state of the program: its source, its stored columns, its selections, its output.

It never loads a model and never decides what is good.
"""
