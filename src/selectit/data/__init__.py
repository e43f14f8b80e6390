"""Reads data sets as people have them into records, and writes records back as they were.

It must never know a run directory, a model or a score.
"""
