// A MySQL server in memory (go-mysql-server) with the accounts native and sha2, by the method of each, and TLS.
// caching_sha2_password always asks for the password itself. full PORT CERTIFICATE KEY; prints ready.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"os"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
)

// Accounts are kept nowhere; without a place for them CREATE USER fails.
type nowhere struct{}

func (nowhere) Persist(*sql.Context, []byte) error { return nil }

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	provider := memory.NewDBProvider(memory.NewDatabase("d"), memory.NewDatabase("other"))
	engine := sqle.NewDefault(provider)
	accounts := engine.Analyzer.Catalog.MySQLDb
	accounts.SetEnabled(true)
	accounts.AddRootAccount()
	accounts.SetPersister(nowhere{})
	session := memory.NewSession(sql.NewBaseSession(), provider)
	session.SetClient(sql.Client{User: "root", Address: "localhost"})
	ctx := sql.NewContext(context.Background(), sql.WithSession(session))
	for name, method := range map[string]string{"native": "mysql_native_password", "sha2": "caching_sha2_password"} {
		run(engine, ctx, fmt.Sprintf("create user '%s'@'%%' identified with %s by 'secret'", name, method))
		run(engine, ctx, fmt.Sprintf("grant all on *.* to '%s'@'%%'", name))
	}
	config := server.Config{
		Protocol: "tcp", Address: "127.0.0.1:" + os.Args[1], Version: "8.0.33",
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
	}
	made, err := server.NewServer(config, engine, sql.NewContext, memory.NewSessionBuilder(provider), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(made.Start())
}

func run(engine *sqle.Engine, ctx *sql.Context, text string) {
	_, rows, _, err := engine.Query(ctx, text)
	if err == nil {
		_, err = sql.RowIterToRows(ctx, rows)
	}
	if err != nil {
		log.Fatal(err)
	}
}
