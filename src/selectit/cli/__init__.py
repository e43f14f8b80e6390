"""The command: one small file a verb.

It parses, calls the library and prints; nothing of the library imports it.
"""
