"""`mpreg demo`: five node processes search the sources of the standard library in one call graph.

Written to be read: `api` says what can be called, `graph` is the whole search in four lines, `node` is what the processes
run, `job` is the client's part, `processes` starts and stops the five, `sources` says which files there are. It stands on
the public API only.
"""
