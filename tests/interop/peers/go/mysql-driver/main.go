// What a Go application does with MySQL by go-sql-driver: the argument is a data source name. Prints a line.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

func must(err error) {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	db, err := sql.Open("mysql", os.Args[1])
	must(err)
	defer db.Close()
	sum := 0
	statement, err := db.PrepareContext(ctx, "select ? + 1")
	must(err)
	for i := range 7 {
		var x int
		must(statement.QueryRowContext(ctx, i).Scan(&x))
		sum += x
	}
	must(statement.Close())
	var refused *mysql.MySQLError
	_, err = db.ExecContext(ctx, "select nothing")
	errors.As(err, &refused)
	tx, err := db.BeginTx(ctx, nil)
	must(err)
	_, err = tx.ExecContext(ctx, "insert into g (a) values (?), (?)", 1, 2)
	must(err)
	var within int
	must(tx.QueryRowContext(ctx, "select count(*) from g").Scan(&within))
	must(tx.Rollback())
	var count int
	must(db.QueryRowContext(ctx, "select count(*) from g").Scan(&count))
	fmt.Printf("sum=%d error=%d within=%d count=%d\n", sum, refused.Number, within, count)
}
