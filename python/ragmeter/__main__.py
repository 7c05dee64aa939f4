"""`python -m ragmeter` is the `ragmeter` command."""

import sys

from ragmeter.cli import main

sys.exit(main())
