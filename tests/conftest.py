"""What all tests share: hypothesis' bounds, and the folder of the data path's harness on the path."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent / "unit" / "proxy"))

settings.register_profile(
    "metaproxy", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("metaproxy")
