"""Answers what methods ask that tune a model on the way, with the collector, the trainer and the run of everything.

It must never know a method by name.
"""
