// A client of go-redis: go-redis plain|cluster HOST:PORT. It does the same each time, and prints a line for each step.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

func tell(step string, value any, err error) {
	if err != nil {
		fmt.Printf("%s: error %v\n", step, err)
		return
	}
	fmt.Printf("%s: %v\n", step, value)
}

func main() {
	var client redis.UniversalClient
	if os.Args[1] == "cluster" {
		client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{os.Args[2]}})
	} else {
		client = redis.NewClient(&redis.Options{Addr: os.Args[2]})
	}
	defer client.Close()
	values(client)
	transactions(client)
	scripts(client)
	lists(client)
	messages(client)
	nodes(client)
}

func values(client redis.UniversalClient) {
	keys := []string{}
	for number := 0; number < 20; number++ {
		key := fmt.Sprintf("g:%d", number)
		keys = append(keys, key)
		if err := client.Set(ctx, key, number, 0).Err(); err != nil {
			tell("set", nil, err)
		}
	}
	pipeline := client.Pipeline()
	answers := []*redis.IntCmd{}
	for _, key := range keys {
		answers = append(answers, pipeline.Incr(ctx, key))
	}
	_, err := pipeline.Exec(ctx)
	sum := int64(0)
	for _, answer := range answers {
		sum += answer.Val()
	}
	tell("pipeline", sum, err)
	found, err := client.MGet(ctx, "{t}a", "{t}b").Result()
	tell("mget", found, err)
	_, err = client.Get(ctx, "none").Result()
	tell("nil", errors.Is(err, redis.Nil), nil)
	client.Set(ctx, "text", "x", 0)
	tell("wrong type", nil, client.LPush(ctx, "text", 1).Err())
	tell("expire", client.TTL(ctx, "text").Val(), client.Expire(ctx, "text", time.Minute).Err())
	large := strings.Repeat("x", 3<<20)
	tell("large", client.Set(ctx, "large", large, 0).Val(), nil)
	back, err := client.Get(ctx, "large").Result()
	tell("large back", back == large, err)
	tell("hash", client.HSet(ctx, "hash", "a", 1, "b", 2).Val(), nil)
	all, err := client.HGetAll(ctx, "hash").Result()
	tell("hgetall", all, err)
	names, err := client.ZRevRangeWithScores(ctx, "zset", 0, -1).Result()
	tell("empty zset", names, err)
}

func transactions(client redis.UniversalClient) {
	commands, err := client.TxPipelined(ctx, func(pipeline redis.Pipeliner) error {
		pipeline.Set(ctx, "{q}one", 1, 0)
		pipeline.Incr(ctx, "{q}one")
		return nil
	})
	tell("transaction", commands, err)
	increment := func(tx *redis.Tx) error {
		value, err := tx.Get(ctx, "{q}one").Int()
		if err != nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(pipeline redis.Pipeliner) error {
			pipeline.Set(ctx, "{q}one", value+1, 0)
			return nil
		})
		return err
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for range 100 {
				if !errors.Is(client.Watch(ctx, increment, "{q}one"), redis.TxFailedErr) {
					return
				}
			}
		}()
	}
	wait.Wait()
	found, err := client.Get(ctx, "{q}one").Int()
	tell("watch", found, err)
}

func scripts(client redis.UniversalClient) {
	script := redis.NewScript("return redis.call('incrby', KEYS[1], ARGV[1])")
	for _, key := range []string{"s1", "s2", "s3"} {
		found, err := script.Run(ctx, client, []string{key}, 5).Int()
		tell("script", found, err)
	}
}

func lists(client redis.UniversalClient) {
	go func() {
		time.Sleep(100 * time.Millisecond)
		client.RPush(ctx, "queue", "late")
	}()
	found, err := client.BLPop(ctx, 5*time.Second, "queue").Result()
	tell("blpop", found, err)
	client.XAdd(ctx, &redis.XAddArgs{Stream: "stream", ID: "1-1", Values: []string{"k", "v"}})
	streams, err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{"stream", "0"}, Block: time.Second}).Result()
	tell("xread", streams, err)
}

func messages(client redis.UniversalClient) {
	plain := client.Subscribe(ctx, "news")
	defer plain.Close()
	sharded := client.SSubscribe(ctx, "{q}news")
	defer sharded.Close()
	for _, one := range []*redis.PubSub{plain, sharded} {
		_, err := one.Receive(ctx)
		tell("subscribed", err == nil, err)
	}
	client.Publish(ctx, "news", "to all")
	client.SPublish(ctx, "{q}news", "to its shard")
	for _, one := range []*redis.PubSub{plain, sharded} {
		message, err := one.ReceiveMessage(ctx)
		tell("message", message, err)
	}
}

func nodes(client redis.UniversalClient) {
	seen := []string{}
	var lock sync.Mutex
	scan := func(one *redis.Client) error {
		iterator := one.Scan(ctx, 0, "g:*", 3).Iterator()
		for iterator.Next(ctx) {
			lock.Lock()
			seen = append(seen, iterator.Val())
			lock.Unlock()
		}
		return iterator.Err()
	}
	var err error
	switch client := client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, func(_ context.Context, one *redis.Client) error { return scan(one) })
	case *redis.Client:
		err = scan(client)
	}
	sort.Strings(seen)
	tell("scan", seen, err)
	size, err := client.DBSize(ctx).Result()
	tell("size", size, err)
	flush := func(one *redis.Client) error { return one.FlushAll(ctx).Err() }
	switch client := client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, func(_ context.Context, one *redis.Client) error { return flush(one) })
	case *redis.Client:
		err = flush(client)
	}
	tell("flush", client.DBSize(ctx).Val(), err)
}
