"""Translators of extensions, a module each: all of them are loaded, and add themselves to the tables."""
