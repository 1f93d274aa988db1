"""argv to something for a person or a shell."""
