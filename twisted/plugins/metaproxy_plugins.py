"""What metaproxy brings: names only, so that a plugin is imported when a configuration asks for it."""

from twisted.application.service import ServiceMaker

from metaproxy.interfaces import ICodec, IDiscovery, IFilter, ILoadBalancer
from metaproxy.plugins import Declaration

metaproxy = ServiceMaker("metaproxy", "metaproxy.tap", "A layer-7 proxy for any protocol.", "metaproxy")
metaproxy_control = ServiceMaker(
    "metaproxy-control", "metaproxy.control.tap", "A control plane for many proxies.", "metaproxy-control"
)

amqp = Declaration(ICodec, "amqp", "metaproxy.codecs.amqp.Amqp")
auto = Declaration(ICodec, "auto", "metaproxy.codecs.auto.Auto")
brpc = Declaration(ICodec, "brpc", "metaproxy.codecs.brpc.Brpc")
dubbo = Declaration(ICodec, "dubbo", "metaproxy.codecs.dubbo.Dubbo")
grpc = Declaration(ICodec, "grpc", "metaproxy.codecs.grpc.Grpc")
http = Declaration(ICodec, "http", "metaproxy.codecs.http.Http")
kafka = Declaration(ICodec, "kafka", "metaproxy.codecs.kafka.Kafka")
mysql = Declaration(ICodec, "mysql", "metaproxy.codecs.mysql.MySQL")
mongodb = Declaration(ICodec, "mongodb", "metaproxy.codecs.mongodb.MongoDB")
postgres = Declaration(ICodec, "postgres", "metaproxy.codecs.postgres.Postgres")
redis = Declaration(ICodec, "redis", "metaproxy.codecs.redis.Redis")
tcp = Declaration(ICodec, "tcp", "metaproxy.codecs.tcp.Tcp")
thrift = Declaration(ICodec, "thrift", "metaproxy.codecs.thrift.Thrift")
triple = Declaration(ICodec, "triple", "metaproxy.codecs.grpc.Triple")
trpc = Declaration(ICodec, "trpc", "metaproxy.codecs.trpc.Trpc")

deadline = Declaration(IFilter, "deadline", "metaproxy.filters.deadline.Deadline")
concurrency_limit = Declaration(
    IFilter, "concurrency_limit", "metaproxy.filters.concurrency_limit.filter.ConcurrencyLimit"
)
fault = Declaration(IFilter, "fault", "metaproxy.filters.fault.filter.fault")
jwt = Declaration(IFilter, "jwt", "metaproxy.filters.jwt.filter.Jwt")
ext_authz = Declaration(IFilter, "ext_authz", "metaproxy.filters.ext_authz.filter.ExtAuthz")
global_rate_limit = Declaration(IFilter, "global_rate_limit", "metaproxy.filters.rate_limit.global_.GlobalRateLimit")
istio_stats = Declaration(IFilter, "istio_stats", "metaproxy.filters.istio.stats.IstioStats")
local_rate_limit = Declaration(IFilter, "local_rate_limit", "metaproxy.filters.rate_limit.local.LocalRateLimit")
metadata_exchange = Declaration(
    IFilter, "metadata_exchange", "metaproxy.filters.istio.metadata_exchange.MetadataExchange"
)
quota = Declaration(IFilter, "quota", "metaproxy.filters.rate_limit.quota.Quota")
rbac = Declaration(IFilter, "rbac", "metaproxy.filters.rbac.Rbac")
transcode = Declaration(IFilter, "transcode", "metaproxy.filters.transcode.filter.Transcode")

least_request = Declaration(ILoadBalancer, "least_request", "metaproxy.balancers.least_request.LeastRequest")
maglev = Declaration(ILoadBalancer, "maglev", "metaproxy.balancers.maglev.Maglev")
random = Declaration(ILoadBalancer, "random", "metaproxy.balancers.random.Random")
ring_hash = Declaration(ILoadBalancer, "ring_hash", "metaproxy.balancers.ring_hash.RingHash")
round_robin = Declaration(ILoadBalancer, "round_robin", "metaproxy.balancers.round_robin.RoundRobin")

consul = Declaration(IDiscovery, "consul", "metaproxy.discovery.consul.Consul")
dns = Declaration(IDiscovery, "dns", "metaproxy.discovery.dns.Dns")
dns_srv = Declaration(IDiscovery, "dns_srv", "metaproxy.discovery.dns.DnsSrv")
eds = Declaration(IDiscovery, "eds", "metaproxy.discovery.eds.Eds")
etcd = Declaration(IDiscovery, "etcd", "metaproxy.discovery.etcd.Etcd")
eureka = Declaration(IDiscovery, "eureka", "metaproxy.discovery.eureka.Eureka")
file = Declaration(IDiscovery, "file", "metaproxy.discovery.file.File")
kubernetes = Declaration(IDiscovery, "kubernetes", "metaproxy.discovery.kubernetes.Kubernetes")
nacos = Declaration(IDiscovery, "nacos", "metaproxy.discovery.nacos.Nacos")
zookeeper = Declaration(IDiscovery, "zookeeper", "metaproxy.discovery.zookeeper.discovery.Zookeeper")
