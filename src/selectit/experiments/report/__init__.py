"""Shows an experiment's outcomes as tables, figures and a page.

It reads outcomes, and never makes a cell.
"""
