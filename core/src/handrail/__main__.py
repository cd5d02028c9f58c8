"""``python -m handrail`` is the command line."""

from handrail.cli import main

main()
