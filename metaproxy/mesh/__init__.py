"""
Aeraki's and Istio's objects: what they are, and the Envoy resources that Aeraki and istiod would make of them.

`objects` reads and checks them, from files or from the dicts of an API server. `store` keeps the accepted version of
each. `generator` makes Envoy resources of them, for one proxy or for many. `folder` watches files.
"""
