"""A node for `mpreg run worker_node:node --workers N`: a function that computes and holds the interpreter meanwhile."""

import mpreg

node = mpreg.Node("workers")


@node.function("spin")
def spin(a: int, b: int) -> int:
    """About a millisecond of Python."""
    total = 0
    for step in range(20_000):
        total ^= step
    return a + b + total * 0
