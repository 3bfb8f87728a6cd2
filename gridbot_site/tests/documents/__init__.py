"""The documents, taken at their word."""
