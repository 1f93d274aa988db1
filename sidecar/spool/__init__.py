"""The disk: what is accepted and not delivered, in one SQLite file."""
