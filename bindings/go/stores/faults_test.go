package stores

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// late is how much later than its deadline a request may end on a busy machine.
const late = 10 * time.Second

// server starts or stops the server of the database.
func (w *world) server(action string) {
	w.Helper()
	name := map[string]string{"pgx": "postgres", "mysql": "mariadb"}[w.job.Driver]
	if output, err := exec.Command(os.Getenv("STORES_SERVER"), name, action).CombinedOutput(); err != nil {
		w.Fatalf("%s %s: %v\n%s", name, action, err, output)
	}
}

// newUsers has Clerk know users, and returns them and a token of each.
func (w *world) newUsers(prefix string, count int) (users, tokens []string) {
	w.Helper()
	users = names(prefix, count)
	for _, user := range users {
		w.user(user, "Zoë_"+user, user+"@example.com", 1, `, "first_name": "Ada 😀"`)
		tokens = append(tokens, w.sim.Session(user))
	}
	return users, tokens
}

// TestWorkersThatAreKilledLeaveNoPartOfARow kills processes in the middle of first sign-ins; others continue.
func TestWorkersThatAreKilledLeaveNoPartOfARow(t *testing.T) {
	everywhere(t, nil, func(w *world) {
		var all []string
		for round := range rounds {
			users, tokens := w.newUsers(fmt.Sprintf("killed%dx", round), 50)
			all = append(all, users...)
			killed := launch(w.T, w.setup.language, w.job)
			send(w.T, killed, tokens)
			// From before the first statement to the middle of the others.
			time.Sleep(time.Duration(round*round) * 10 * time.Millisecond)
			for _, one := range killed {
				_ = one.command.Process.Kill()
				_ = one.command.Wait()
			}
			w.signIn(users)
		}
		if rows := w.count("clerk_id IS NOT NULL AND username IS NOT NULL AND email IS NOT NULL AND first_name = 'Ada 😀'"); rows != len(all) {
			w.Errorf("%d complete rows", rows)
		}
		if rows := w.count("1 = 1"); rows != len(all) {
			w.Errorf("%d rows", rows)
		}
	})
}

// TestServerThatIsStoppedAndStarted stops it during first sign-ins. Requests are unavailable meanwhile, within their deadline, and
// signed in afterwards, with the rows that they had.
func TestServerThatIsStoppedAndStarted(t *testing.T) {
	everywhere(t, nil, func(w *world) {
		known, _ := w.newUsers("known", 8)
		before := w.signIn(known)
		users, tokens := w.newUsers("during", 50)
		send(w.T, w.workers, tokens)
		time.Sleep(50 * time.Millisecond)
		w.server("stop")
		w.checkDown(receive(w.T, w.workers), true)
		for _, user := range known {
			tokens = append(tokens, w.sim.Session(user))
		}
		began := time.Now()
		w.checkDown(ask(w.T, w.workers, tokens), false)
		// Each thread of a worker has some requests, one after the other.
		turns := time.Duration((len(tokens) + threads - 1) / threads)
		if took, limit := time.Since(began), turns*time.Duration(w.job.TimeoutMs)*time.Millisecond+late; took > limit {
			w.Errorf("%v without a server, more than %v", took, limit)
		}
		w.server("start")
		// Connections of before may fail once.
		for attempt := 0; ; attempt++ {
			failed := 0
			for _, o := range ask(w.T, w.workers, tokens) {
				if o.Error != "" {
					failed++
				}
			}
			if failed == 0 {
				break
			}
			if attempt == 5 {
				w.Fatalf("%d requests fail after the start of the server", failed)
			}
		}
		after := w.signIn(append(known, users...))
		for user, key := range before {
			if after[user] != key {
				w.Errorf("%s had the row %s and has %s", user, key, after[user])
			}
		}
		if rows := w.count("first_name = 'Ada 😀'"); rows != len(users)+len(known) {
			w.Errorf("%d rows", rows)
		}
	})
}

// checkDown requires that what is not signed in is unavailable, because of the store.
func (w *world) checkDown(outcomes []outcome, maySignIn bool) {
	w.Helper()
	if len(outcomes) == 0 {
		w.Error("no outcomes")
	}
	for _, o := range outcomes {
		isSignedIn := o.Error == "" && o.Key != ""
		isUnavailable := o.Key == "" && strings.Contains(o.Error, "store-error")
		if !isUnavailable && !(maySignIn && isSignedIn) {
			w.Errorf("%+v", o)
		}
	}
}
