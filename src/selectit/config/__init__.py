"""Every option of the program, once: small groups of settings, and the one class that composes them.

Flags, keys of configuration files and what a verb may be given follow from the groups; nothing here reads data or knows
a model.
"""
