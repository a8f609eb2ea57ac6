"""
The filter `transcode`: requests of HTTP and JSON become calls of an RPC protocol, and the answers JSON.

`filter` for what the proxy asks of it, `paths` for which call a request means, `answers` for what clients get; `grpc`
and its neighbours (`descriptors`, `http_rules`, `parameters`, `reflection`) for calls of gRPC; `dubbo` (`java`) and
`thrift` (`thrift_idl` and others of the name) for theirs, with `arguments` for both.
"""
