"""``python3 -m meso`` is ``meso``."""

import sys

from meso.cli import main

sys.exit(main())
