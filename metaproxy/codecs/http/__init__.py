"""HTTP: `model` for messages of any version, `heads` for reading them from bytes."""
