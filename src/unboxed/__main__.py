"""`python -m unboxed` is the command `unboxed`."""

from unboxed.cli import main

main()
