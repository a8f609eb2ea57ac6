"""Our own form as Envoy's: a configuration becomes a bootstrap, where it can be said (`bootstrap.bootstrap_of`)."""
