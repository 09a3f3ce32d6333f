"""``python3 -m meso`` is ``meso``."""

import gc
import os
import sys

from meso import interrupts, lazily


def main() -> int:
    """Run the command line; returns the exit code."""
    interrupts.end_at_once()  # before anything else is loaded
    lazily.install()
    # Its plugins would be looked for in all packages that are installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Schemas that the tests have seen to be right are not checked again.
    os.environ.setdefault("PYDANTIC_SKIP_VALIDATING_CORE_SCHEMAS", "1")
    gc.disable()  # until all is loaded: that is no garbage
    from meso import cli

    code = cli.main()
    interrupts.end_at_once()  # MPI and PETSc come to their ends
    return code


if __name__ == "__main__":
    sys.exit(main())
