"""Make ``python -m earmark`` the command line."""

import sys

from earmark.cli import main

sys.exit(main())
