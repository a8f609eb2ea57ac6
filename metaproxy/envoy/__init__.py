"""Envoy's messages, and what they are in the form of our own configuration. Pure: no socket, no file, no timer."""
