"""Writes a selection in the layout that a training tool reads, with a card that says where it comes from.

It reads a run and writes files, and never loads a model.
"""
