"""Where documents come from: a folder, etcd, Kubernetes. Each gives texts by path, and says when they changed."""
