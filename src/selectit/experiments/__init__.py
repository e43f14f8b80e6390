"""Which choice was worth it? Methods x budgets x seeds x base models: chosen, tuned on, evaluated, one table.

It puts the other packages to work and measures nothing itself.
"""
