"""The small course to study."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from studying import notebook  # noqa: F401
