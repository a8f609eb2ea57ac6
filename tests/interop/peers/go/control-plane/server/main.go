// A control plane on go-control-plane: ADS, routes alone as Aeraki serves them, and secrets alone as Istio's agent serves
// them, by the state of the world and incremental. It reads resources, a JSON list of {"@type": ...}, from a file, and again whenever that was replaced.
//
//	go-control-plane PORT|SOCKET FILE
//
// It prints "ready", and a line of JSON for each request: what a client asks, acknowledges and refuses.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	_ "github.com/cncf/xds/go/udpa/type/v1"
	_ "github.com/cncf/xds/go/xds/type/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/thrift_proxy/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	routeservice "github.com/envoyproxy/go-control-plane/envoy/service/route/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
)

const everybody = "all"

type oneSnapshot struct{}

func (oneSnapshot) ID(*core.Node) string { return everybody }

// read returns the resources of a file by their type.
func read(file string) (map[resource.Type][]types.Resource, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, err
	}
	found := map[resource.Type][]types.Resource{}
	for _, item := range items {
		var packed anypb.Any
		if err := protojson.Unmarshal(item, &packed); err != nil {
			return nil, err
		}
		message, err := packed.UnmarshalNew()
		if err != nil {
			return nil, err
		}
		switch message.(type) {
		case *cluster.Cluster, *endpoint.ClusterLoadAssignment, *listener.Listener, *route.RouteConfiguration,
			*tls.Secret, *core.TypedExtensionConfig:
			found[packed.TypeUrl] = append(found[packed.TypeUrl], message)
		default:
			return nil, fmt.Errorf("%s: not served here", packed.TypeUrl)
		}
	}
	return found, nil
}

// watch puts the file's resources in force, and again when it was replaced.
func watch(caches []cache.SnapshotCache, file string, first func()) {
	var seen time.Time
	for version := 1; ; {
		status, err := os.Stat(file)
		if err == nil && status.ModTime() != seen {
			seen = status.ModTime()
			found, err := read(file)
			if err == nil {
				var snapshot *cache.Snapshot
				snapshot, err = cache.NewSnapshot(fmt.Sprint(version), found)
				for _, one := range caches {
					if err == nil {
						err = one.SetSnapshot(context.Background(), everybody, snapshot)
					}
				}
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, file, err)
			} else {
				version++
				first()
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var output sync.Mutex

func tell(kind string, names []string, version string, nonce string, refused string) {
	line, _ := json.Marshal(map[string]any{"type": kind, "names": names, "version": version, "nonce": nonce, "nack": refused})
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(line))
}

func main() {
	snapshots := cache.NewSnapshotCache(true, oneSnapshot{}, nil)
	secrets := cache.NewSnapshotCache(false, oneSnapshot{}, nil) // answers who asks for one of them alone, as the agent does
	callbacks := server.CallbackFuncs{
		StreamRequestFunc: func(_ int64, r *discovery.DiscoveryRequest) error {
			tell(r.TypeUrl, r.ResourceNames, r.VersionInfo, r.ResponseNonce, r.ErrorDetail.GetMessage())
			return nil
		},
		StreamDeltaRequestFunc: func(_ int64, r *discovery.DeltaDiscoveryRequest) error {
			tell(r.TypeUrl, r.ResourceNamesSubscribe, "", r.ResponseNonce, r.ErrorDetail.GetMessage())
			return nil
		},
	}
	xds := server.NewServer(context.Background(), snapshots, callbacks)
	served := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(served, xds)
	routeservice.RegisterRouteDiscoveryServiceServer(served, xds)
	secretservice.RegisterSecretDiscoveryServiceServer(served, server.NewServer(context.Background(), secrets, callbacks))
	network, address := "tcp", "127.0.0.1:"+os.Args[1]
	if strings.HasPrefix(os.Args[1], "/") {
		network, address = "unix", os.Args[1]
	}
	port, err := net.Listen(network, address)
	if err != nil {
		panic(err)
	}
	var once sync.Once
	go watch([]cache.SnapshotCache{snapshots, secrets}, os.Args[2], func() { once.Do(func() { fmt.Println("ready") }) })
	panic(served.Serve(port))
}
