"""Data sets as people have them: read into records, and written back as they were.

It knows no run directory, no model and no score.
"""
