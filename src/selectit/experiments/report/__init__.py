"""An experiment's outcomes as tables, figures and a page.

It reads outcomes; it makes no cell.
"""
