"""A Kubernetes API server as a client sees it: credentials, lists and watches, status."""
