"""``python -m c2lst``, as launchers want it."""

from c2lst.cli import main

main()
