"""``python3 -m meso`` is ``meso``."""

import gc
import sys

from meso import interrupts, lazily


def main() -> int:
    """Run the command line; returns the exit code."""
    interrupts.end_at_once()  # before anything else is loaded
    lazily.install()
    gc.disable()  # until all is loaded: that is no garbage
    from meso import cli

    code = cli.main()
    interrupts.end_at_once()  # MPI and PETSc come to their ends
    return code


if __name__ == "__main__":
    sys.exit(main())
