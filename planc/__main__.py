"""`python -m planc`."""

import sys

from planc.cli import run_as_program

sys.exit(run_as_program())
