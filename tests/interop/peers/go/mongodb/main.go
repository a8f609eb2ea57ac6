// What a Go application does with MongoDB, once: `mongodb-go URI SET`. Prints one line of JSON; SET: "set" for a replica set.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func name(err error) string {
	var failed mongo.CommandError
	if errors.As(err, &failed) {
		return failed.Name
	}
	return ""
}

func main() {
	ctx := context.Background()
	set := os.Args[2] == "set"
	about := options.Client().ApplyURI(os.Args[1]).SetAppName("go").SetServerSelectionTimeout(5 * time.Second)
	client := must(mongo.Connect(about))
	shop := client.Database("shop")
	orders := shop.Collection("go")
	if err := orders.Drop(ctx); err != nil {
		panic(err)
	}
	var documents []any
	for number := range 300 {
		documents = append(documents, bson.M{"_id": number, "item": strings.Repeat("x", 100)})
	}
	must(orders.InsertMany(ctx, documents))
	var all []bson.M
	if err := must(orders.Find(ctx, bson.M{}, options.Find().SetBatchSize(50))).All(ctx, &all); err != nil {
		panic(err)
	}
	updated := must(orders.UpdateMany(ctx, bson.M{"_id": bson.M{"$lt": 10}}, bson.M{"$set": bson.M{"item": "y"}}))
	unknown := name(shop.RunCommand(ctx, bson.D{{Key: "nope", Value: 1}}).Err())
	denied := name(shop.Collection("kept").Drop(ctx))
	large := must(orders.InsertOne(ctx, bson.M{"_id": 1000, "data": strings.Repeat("x", 3000000)})).InsertedID
	var read struct{ Data string }
	if err := orders.FindOne(ctx, bson.M{"_id": 1000}).Decode(&read); err != nil {
		panic(err)
	}
	committed := false
	if set {
		session := must(client.StartSession())
		must(session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
			return orders.InsertOne(ctx, bson.M{"_id": 2000})
		}))
		session.EndSession(ctx)
		committed = must(orders.CountDocuments(ctx, bson.M{"_id": 2000})) == 1
	}
	if err := client.Disconnect(ctx); err != nil {
		panic(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"found": len(all), "updated": updated.ModifiedCount, "unknown": unknown, "denied": denied, "large": large,
		"read": len(read.Data), "committed": committed,
	})
}
