"""`python -m clapgen.cli`: the command where its script is not on the path."""

from clapgen.cli import main

main()
