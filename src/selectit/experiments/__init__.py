"""Shows which choice was worth it: methods, budgets, seeds and base models, tuned and evaluated, in one table.

It puts the other packages to work, and never measures anything itself.
"""
