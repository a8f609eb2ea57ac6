"""The admin API of a control plane: the fleet as JSON, metrics, and a page."""
