"""The configuration: keys and defaults, and how they are read."""
