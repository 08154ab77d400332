"""`python -m mimi_codec` is the command `mimi`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
