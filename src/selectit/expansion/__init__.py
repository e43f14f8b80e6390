"""Has a generator write new rows from rows of the data.

It must never decide what makes a row good.
"""
