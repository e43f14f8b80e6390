"""The command: one small file a verb. Nothing here is imported by the library."""
