"""
The control plane: one process that serves configuration to many proxies, as xDS.

A source (folder, etcd, Kubernetes) gives a state; a `Snapshot` of it for each group of nodes has its resources with a
hash of their content as version; a `Stream` a client sends what changed and notes who runs what. Does not: the
proxy's own side of the protocol (`metaproxy.xds`).
"""
