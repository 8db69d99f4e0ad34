"""`holdfast conformance URL`: does a server keep to protocol.md?

Any server of the protocol can be asked, ours or another one. Each check says one sentence of the
contract, the section that it comes from, and, where it fails, what was sent, what was expected and
what came. It speaks the wire by itself (`speaking`), so that it can say wrong things too; it works
on queues with a name of their own, and leaves nothing behind.

A new command or error code: a check that is `about` it, in the module of its theme. A test fails
until there is one.
"""
