"""``python -m flows``: the command line where the `spanscan` script is not on the path."""

from flows.cli import main

main()
