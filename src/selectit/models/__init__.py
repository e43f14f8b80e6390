"""Turns the name of a model into a folder that transformers loads.

Nothing here ever runs a model.
"""
