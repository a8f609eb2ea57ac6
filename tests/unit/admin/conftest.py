"""Puts the folder of telemetry's tests on the path: the proxy in memory stands there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "telemetry"))
