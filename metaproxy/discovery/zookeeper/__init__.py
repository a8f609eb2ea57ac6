"""ZooKeeper: `client` asks, `session` watches, `dubbo` reads Dubbo's entries, `folder` and `discovery` find servers."""
