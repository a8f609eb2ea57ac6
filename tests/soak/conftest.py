"""The peers of the soak tests on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
