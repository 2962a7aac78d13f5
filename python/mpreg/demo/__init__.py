"""`mpreg demo`: five node processes index the sources of the standard library, and a client searches them.

Written to be read: `api` says what can be called, `node` is what the processes run, `job` is the client's part,
`processes` starts and stops the five, `sources` says which files there are. It stands on the public API only.
"""
