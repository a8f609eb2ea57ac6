"""Exchanges written to a file, sent again, and their answers compared."""
