"""New rows that a generator writes from rows of the data.

It asks and writes records; what makes a row good is not decided here.
"""
