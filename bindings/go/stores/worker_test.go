// Package stores tests the user stores with real databases, in several processes at once.
package stores

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/sqlstore"
)

const (
	workers = 4
	threads = 16
)

// job describes the client of a worker. Workers get it in the environment variable STORES_JOB.
type job struct {
	APIURL string `json:"api_url"`
	Driver string `json:"driver"`
	Source string `json:"source"`
	Table  string `json:"table"`
	// TimeoutMs is the setting of this name.
	TimeoutMs int64 `json:"timeout_ms"`
}

// outcome is the result of one request.
type outcome struct {
	Token   int    `json:"token"`
	Subject string `json:"subject"`
	// Key is the key of the row; "" if the request is not signed in.
	Key   string `json:"key"`
	Error string `json:"error"`
}

func (j *job) dialect() *sqlstore.Dialect {
	if j.Driver == "mysql" {
		return &sqlstore.MySQL
	}
	return &sqlstore.Postgres
}

func (j *job) open() (*sql.DB, *sqlstore.Store, error) {
	db, err := sql.Open(j.Driver, j.Source)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(threads)
	store, err := sqlstore.New(db, sqlstore.Options{Dialect: j.dialect(), Table: j.Table})
	return db, store, err
}

// TestMain runs a worker instead of the tests if the environment says so: it prints "ready", then for each line of tokens a
// line of outcomes.
func TestMain(m *testing.M) {
	given := os.Getenv("STORES_JOB")
	if given == "" {
		os.Exit(m.Run())
	}
	if err := work(given); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func work(given string) error {
	var job job
	if err := json.Unmarshal([]byte(given), &job); err != nil {
		return err
	}
	db, store, err := job.open()
	if err != nil {
		return err
	}
	defer db.Close()
	client, err := clerkauth.New(clerkauth.Config{APIURL: job.APIURL, SecretKey: "sk_test_stores", Store: store, TimeoutMs: &job.TimeoutMs, RowCheckTTLS: clerkauth.Int(0)})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.WarmUp(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // the end
		}
		var tokens []string
		if err := json.Unmarshal(line, &tokens); err != nil {
			return err
		}
		answer, err := json.Marshal(authenticate(client, tokens))
		if err != nil {
			return err
		}
		fmt.Println(string(answer))
	}
}

func authenticate(client *clerkauth.Client, tokens []string) []outcome {
	outcomes := make([]outcome, len(tokens))
	next := make(chan int, len(tokens))
	for i := range tokens {
		next <- i
	}
	close(next)
	var running sync.WaitGroup
	for range threads {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := range next {
				request, _ := http.NewRequest("GET", "http://app.example/", nil)
				request.Header.Set("Authorization", "Bearer "+tokens[i])
				auth, err := client.Authenticate(context.Background(), request)
				outcomes[i] = outcome{Token: i, Subject: auth.Subject(), Key: auth.UserKey()}
				if err != nil {
					outcomes[i].Error = err.Error()
				}
			}
		}()
	}
	running.Wait()
	return outcomes
}

// worker is a running process.
type worker struct {
	command *exec.Cmd
	input   interface {
		Write([]byte) (int, error)
		Close() error
	}
	lines *bufio.Reader
}

// start starts workers, programs in Go or in Node, that end with the test.
func start(t *testing.T, language string, job job) []*worker {
	t.Helper()
	all := launch(t, language, job)
	t.Cleanup(func() {
		for _, one := range all {
			_ = one.input.Close()
			if err := one.command.Wait(); err != nil {
				t.Error(err)
			}
		}
	})
	return all
}

func launch(t *testing.T, language string, job job) []*worker {
	t.Helper()
	given, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	var all []*worker
	for range workers {
		command := exec.Command(os.Args[0])
		if language == "Node" {
			command = exec.Command("node", filepath.Join(os.Getenv("STORES_NODE"), "worker.mjs"))
		}
		command.Env = append(os.Environ(), "STORES_JOB="+string(given))
		command.Stderr = os.Stderr
		input, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		output, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, &worker{command, input, bufio.NewReader(output)})
	}
	for _, one := range all {
		if line, err := one.lines.ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatal(line, err)
		}
	}
	return all
}

// ask has all workers authenticate the same tokens at the same time.
func ask(t *testing.T, all []*worker, tokens []string) []outcome {
	t.Helper()
	send(t, all, tokens)
	return receive(t, all)
}

func send(t *testing.T, all []*worker, tokens []string) {
	t.Helper()
	line, err := json.Marshal(tokens)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if _, err := one.input.Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t *testing.T, all []*worker) []outcome {
	t.Helper()
	var outcomes []outcome
	for _, one := range all {
		line, err := one.lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		var some []outcome
		if err := json.Unmarshal(line, &some); err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, some...)
	}
	return outcomes
}
