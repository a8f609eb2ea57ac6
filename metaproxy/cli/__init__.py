"""The command `metaproxy`: a module for each of its commands."""
