"""
The xDS client: listeners, clusters, endpoints, routes, secrets and extensions from control planes.

Lives here: the protocol and its transports, what was received and its state, warming, the way into the configuration.
Does not: what the messages mean (`envoy`), putting sections in force (`app`).
"""
