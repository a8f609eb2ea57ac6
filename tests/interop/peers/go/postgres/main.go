// What a Go application does with PostgreSQL by pgx: the argument is a URL. Prints a line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	c, err := pgx.Connect(ctx, os.Args[1])
	must(err)
	sum := 0
	for i := 0; i < 7; i++ {
		var x int
		must(c.QueryRow(ctx, "select $1::int + 1", i).Scan(&x))
		sum += x
	}
	var refused *pgconn.PgError
	_, err = c.Exec(ctx, "select nothing")
	errors.As(err, &refused)
	batch := &pgx.Batch{}
	for i := 0; i < 10; i++ {
		batch.Queue("select $1::int", i)
	}
	results, answered := c.SendBatch(ctx, batch), 0
	for i := 0; i < 10; i++ {
		var x int
		must(results.QueryRow().Scan(&x))
		answered += x
	}
	must(results.Close())
	tx, err := c.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "create temporary table g (a int)")
	must(err)
	rows := [][]any{{1}, {2}, {3}}
	copied, err := tx.CopyFrom(ctx, pgx.Identifier{"g"}, []string{"a"}, pgx.CopyFromRows(rows))
	must(err)
	must(tx.Commit(ctx))
	var count int
	must(c.QueryRow(ctx, "select count(*) from g", pgx.QueryExecModeSimpleProtocol).Scan(&count))
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	_, err = c.Exec(short, "select pg_sleep(30)")
	cancel()
	fmt.Printf("sum=%d error=%s batch=%d copied=%d count=%d late=%t\n", sum, refused.Code, answered, copied, count, err != nil)
}
