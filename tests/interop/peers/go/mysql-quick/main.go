// A MySQL server made of Vitess's protocol code: any SELECT gives its own text and its parameters, FAIL fails, BIG N
// gives N rows, SLEEP N waits N milliseconds. caching_sha2_password is always the quick way. quick PORT CERTIFICATE KEY.
package main

import (
	"crypto/tls"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"vitess.io/vitess/go/mysql"
	"vitess.io/vitess/go/mysql/replication"
	"vitess.io/vitess/go/mysql/sqlerror"
	"vitess.io/vitess/go/sqltypes"
	querypb "vitess.io/vitess/go/vt/proto/query"
	"vitess.io/vitess/go/vt/vtenv"
)

var column = sqltypes.MakeTestFields("said", "varchar")

type echo struct{ mysql.UnimplementedHandler }

func (echo) run(text string, found func(*sqltypes.Result) error) error {
	word, rest, _ := strings.Cut(strings.ToLower(strings.TrimSpace(text)), " ")
	number, _ := strconv.Atoi(rest)
	switch word {
	case "fail":
		return sqlerror.NewSQLError(sqlerror.ERNoSuchTable, "42S02", "no such table: "+rest)
	case "sleep":
		time.Sleep(time.Duration(number) * time.Millisecond)
	case "big":
		result := sqltypes.MakeTestResult(column)
		for i := range number {
			result.Rows = append(result.Rows, []sqltypes.Value{sqltypes.NewVarChar(strconv.Itoa(i))})
		}
		return found(result)
	case "select":
	default:
		return found(&sqltypes.Result{})
	}
	return found(sqltypes.MakeTestResult(column, strings.ReplaceAll(text, "|", "/")))
}

func (e echo) ComQuery(_ *mysql.Conn, text string, found func(*sqltypes.Result) error) error {
	return e.run(text, found)
}

func (e echo) ComQueryMulti(_ *mysql.Conn, text string, found func(sqltypes.QueryResponse, bool, bool) error) error {
	texts := strings.Split(strings.TrimSuffix(text, ";"), ";")
	for i, each := range texts {
		more := i+1 < len(texts)
		err := e.run(each, func(result *sqltypes.Result) error {
			return found(sqltypes.QueryResponse{QueryResult: result}, more, true)
		})
		if err != nil {
			return found(sqltypes.QueryResponse{QueryError: err}, false, true)
		}
	}
	return nil
}

func (echo) ComPrepare(_ *mysql.Conn, text string) ([]*querypb.Field, uint16, error) {
	return column, uint16(strings.Count(text, "?")), nil
}

func (e echo) ComStmtExecute(_ *mysql.Conn, said *mysql.PrepareData, found func(*sqltypes.Result) error) error {
	text := said.PrepareStmt
	for i := range int(said.ParamsCount) {
		text += fmt.Sprintf(" %s", said.BindVars[fmt.Sprintf("v%d", i+1)].Value)
	}
	return e.run(text, found)
}

func (echo) WarningCount(*mysql.Conn) uint16                                      { return 0 }
func (echo) Env() *vtenv.Environment                                              { return vtenv.NewTestEnv() }
func (echo) ComRegisterReplica(*mysql.Conn, string, uint16, string, string) error { return nil }
func (echo) ComBinlogDump(*mysql.Conn, string, uint32) error                      { return nil }
func (echo) ComBinlogDumpGTID(*mysql.Conn, string, uint64, replication.GTIDSet, uint16) error {
	return nil
}

func main() {
	pair, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	accounts := mysql.NewAuthServerStaticWithAuthMethodDescription(
		"", `{"app": [{"Password": "secret"}]}`, 0, mysql.CachingSha2Password)
	listener, err := mysql.NewListener("tcp", "127.0.0.1:"+os.Args[1], accounts, echo{}, 0, 0, false, false, 0, 0, true)
	if err != nil {
		log.Fatal(err)
	}
	listener.AllowClearTextWithoutTLS.Store(true) // without it caching_sha2_password needs TLS
	listener.TLSConfig.Store(&tls.Config{Certificates: []tls.Certificate{pair}})
	listener.ServerVersion = "8.0.40-vitess"
	fmt.Println("ready")
	listener.Accept()
}
