"""
From the objects of a mesh to the Envoy resources that Aeraki and istiod would send to a proxy.

`generator` keeps the objects and answers for a proxy. `index` finds objects and remembers who asked. `services` joins
what is known of a service; `clusters`, `policy`, `routes`, `filters`, `listeners`, `native`, `redis`, `gateways` and
`authorization` each make one kind of message of it, as JSON; `messages` makes the messages themselves.
"""
