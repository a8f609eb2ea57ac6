"""Puts the folders of others' helping modules on the path: the admin API and the proxy in memory."""

import sys
from pathlib import Path

UNIT = Path(__file__).parents[1]
sys.path[:0] = [str(UNIT / "admin"), str(UNIT / "telemetry"), str(UNIT / "proxy")]
