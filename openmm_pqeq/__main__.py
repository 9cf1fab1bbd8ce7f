"""`python -m openmm_pqeq` is `openmm-pqeq`."""

import sys

from openmm_pqeq.cli import main

if __name__ == "__main__":
    sys.exit(main())
