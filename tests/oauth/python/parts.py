"""What a script is told, and how its parts are run."""

import json
import os
import sys

FACTS = json.loads(os.environ["FACTS"])


def run(*parts):
    """Runs the part that the command line names."""
    for part in parts:
        if part.__name__ == sys.argv[1]:
            part()
            print("done")
            return
    names = ", ".join(part.__name__ for part in parts)
    sys.exit(f"there is no part {sys.argv[1]}; the parts are {names}")
