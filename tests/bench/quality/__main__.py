"""`python -m tests.bench.quality`, see `studied`."""

import sys

from tests.bench.quality.studied import main

main(sys.argv[1:])
