"""An engine over the data, unit by unit: what is asked, who does it, how it resumes.

It stores what engines answer and never scores a row.
"""
