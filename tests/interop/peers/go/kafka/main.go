// What a Go application does with Kafka through franz-go, once: `kafka-go JOB`. Prints one line of JSON.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

type job struct{ Bootstrap, Prefix, User, Password, Mechanism, Ca string }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func (j job) options(more ...kgo.Opt) []kgo.Opt {
	options := []kgo.Opt{kgo.SeedBrokers(strings.Split(j.Bootstrap, ",")...), kgo.ClientID(j.Prefix)}
	switch j.Mechanism {
	case "PLAIN":
		options = append(options, kgo.SASL(plain.Auth{User: j.User, Pass: j.Password}.AsMechanism()))
	case "SCRAM-SHA-256":
		options = append(options, kgo.SASL(scram.Auth{User: j.User, Pass: j.Password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		options = append(options, kgo.SASL(scram.Auth{User: j.User, Pass: j.Password}.AsSha512Mechanism()))
	}
	if j.Ca != "" {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(must(os.ReadFile(j.Ca)))
		options = append(options, kgo.DialTLSConfig(&tls.Config{RootCAs: pool}))
	}
	return append(options, more...)
}

// How many records two members of a group read, and how many members had partitions.
func (j job) drained(ctx context.Context, group, topic string) (int, int) {
	seen, had := map[string]bool{}, map[int]bool{}
	var members []*kgo.Client
	for number := range 2 {
		assigned := kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, found map[string][]int32) {
			if len(found[topic]) > 0 {
				had[number] = true
			}
		})
		quick := []kgo.Opt{kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(300 * time.Millisecond), kgo.BlockRebalanceOnPoll()}
		options := j.options(append(quick, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), assigned)...)
		members = append(members, must(kgo.NewClient(append(options, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)))
	}
	for (len(seen) < 300 || len(had) < 2) && ctx.Err() == nil {
		for _, each := range members {
			soon, stop := context.WithTimeout(ctx, 50*time.Millisecond)
			each.PollFetches(soon).EachRecord(func(r *kgo.Record) { seen[fmt.Sprint(r.Partition, " ", r.Offset)] = true })
			stop()
			each.AllowRebalance()
		}
	}
	for _, each := range members {
		each.CloseAllowingRebalance()
	}
	return len(seen), len(had)
}

// One transaction that is committed, and one that is not.
func (j job) transactions(ctx context.Context, topic string) {
	out := must(kgo.NewClient(j.options(kgo.TransactionalID(j.Prefix + "-tx"))...))
	defer out.Close()
	for _, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		check(out.BeginTransaction())
		for number := range 10 {
			record := &kgo.Record{Topic: topic, Value: []byte(fmt.Sprint(number))}
			out.Produce(ctx, record, func(_ *kgo.Record, err error) { check(err) })
		}
		check(out.Flush(ctx))
		check(out.EndTransaction(ctx, commit))
	}
}

func main() {
	var j job
	check(json.Unmarshal([]byte(os.Args[1]), &j))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	orders, done := j.Prefix+"-orders", j.Prefix+"-done"
	result := map[string]any{"next_generation": true} // by the classic protocol alone
	client := must(kgo.NewClient(j.options()...))
	admin := kadm.NewClient(client)
	_ = must(admin.CreateTopic(ctx, 6, 3, nil, orders))
	_ = must(admin.CreateTopic(ctx, 1, 3, nil, done))
	produced := 0
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		out := must(kgo.NewClient(j.options(kgo.ProducerBatchCompression(codec))...))
		var records []*kgo.Record
		for number := range 60 {
			headers := []kgo.RecordHeader{{Key: "tenant", Value: []byte("t1")}}
			value := []byte(fmt.Sprint(number, " ", strings.Repeat("x", 200)))
			records = append(records, &kgo.Record{Topic: orders, Key: []byte(fmt.Sprint("k", number)), Value: value, Headers: headers})
		}
		results := out.ProduceSync(ctx, records...)
		check(results.FirstErr())
		produced += len(results)
		out.Close()
	}
	result["produced"] = produced
	result["consumed"], result["members"] = j.drained(ctx, j.Prefix+"-group", orders)
	j.transactions(ctx, done)
	offsets := kadm.Offsets{}
	offsets.AddOffset(orders, 0, 5, -1)
	check(admin.CommitAllOffsets(ctx, j.Prefix+"-offsets", offsets))
	fetched := must(admin.FetchOffsets(ctx, j.Prefix+"-offsets"))
	offset, _ := fetched.Lookup(orders, 0)
	result["offset"] = offset.At
	start := map[string]map[int32]kgo.Offset{done: {0: kgo.NewOffset().AtStart()}}
	reader := must(kgo.NewClient(j.options(kgo.ConsumePartitions(start), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...))
	count := 0
	for count < 10 && ctx.Err() == nil {
		count += reader.PollFetches(ctx).NumRecords()
	}
	soon, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	count += reader.PollFetches(soon).NumRecords()
	stop()
	reader.Close()
	result["committed"] = count
	_, err := admin.CreateTopic(ctx, 1, 3, nil, "denied-"+j.Prefix)
	var refused *kerr.Error
	result["denied"] = ""
	if errors.As(err, &refused) {
		result["denied"] = refused.Message
	}
	result["brokers"] = len(must(admin.ListBrokers(ctx)))
	_ = must(admin.DeleteTopics(ctx, orders, done))
	client.Close()
	must(os.Stdout.Write(append(must(json.Marshal(result)), '\n')))
}
