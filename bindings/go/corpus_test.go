package clerkauth_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
	"github.com/clerk-auth/clerk-auth/bindings/go/internal/simtest"
)

type recordedRequest struct {
	Method  string
	Headers [][2]string
}

type recordedCase struct {
	ID, Category string
	NowMs        int64 `json:"now_ms"`
	Settings     [][3]any
	State        json.RawMessage
	Prelude      []struct {
		Request   *recordedRequest
		State     json.RawMessage
		AdvanceMs int64 `json:"advance_ms"`
	}
	Request recordedRequest
	Verdict struct {
		Status, Reason, Refused string
		UserID                  string   `json:"user_id"`
		SessionID               string   `json:"session_id"`
		OrgID                   string   `json:"org_id"`
		OrgRole                 string   `json:"org_role"`
		OrgPermissions          []string `json:"org_permissions"`
	}
}

func (r recordedRequest) httpRequest() *http.Request {
	request := &http.Request{Method: r.Method, Header: http.Header{}}
	for _, header := range r.Headers {
		request.Header.Add(header[0], header[1])
	}
	return request
}

// Go must return the verdicts that were recorded through the C functions.
func TestCorpus(t *testing.T) {
	path := os.Getenv("CLERK_CASES")
	if path == "" {
		t.Fatal("CLERK_CASES must be the path of the output of `corpus-replay share`; bindings/go/test.sh sets it")
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sim := simtest.Start(t)
	played := map[string]int{}
	all := 0
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var given recordedCase
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			t.Fatal(err)
		}
		t.Run(given.ID, func(t *testing.T) { play(t, sim, &given) })
		played[given.Category]++
		all++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if all < 200 {
		t.Errorf("only %d cases", all)
	}
	for _, category := range []string{"alg", "aud", "azp", "claims", "cookies", "header-params", "header-scheme", "jwks-errors",
		"jwt-key", "kid", "machine", "malformed", "precedence", "rotation", "size", "time", "valid-v1", "valid-v2"} {
		if played[category] == 0 {
			t.Errorf("no case of %s", category)
		}
	}
	t.Logf("%d cases of %d categories", all, len(played))
}

func play(t *testing.T, sim *simtest.Sim, given *recordedCase) {
	sim.Admin("PUT", "/state", given.State, nil)
	var now atomic.Int64
	now.Store(given.NowMs)
	config := clerkauth.Config{Clock: func() time.Time { return time.UnixMilli(now.Load()) }}
	for _, setting := range given.Settings {
		setField(t, &config, setting, sim.URL)
	}
	client, err := clerkauth.New(config)
	want := &given.Verdict
	if err != nil || want.Refused != "" {
		var authErr *clerkauth.Error
		if !errors.As(err, &authErr) || authErr.Setting != want.Refused {
			t.Fatalf("%v, but the setting %q must be rejected", err, want.Refused)
		}
		return
	}
	defer client.Close()
	for _, step := range given.Prelude {
		switch {
		case step.Request != nil:
			_, _ = client.Authenticate(background, step.Request.httpRequest())
		case step.State != nil:
			sim.Admin("PUT", "/state", step.State, nil)
		default:
			now.Add(step.AdvanceMs)
		}
	}
	auth, err := client.Authenticate(background, given.Request.httpRequest())
	var authErr *clerkauth.Error
	reason := ""
	if errors.As(err, &authErr) {
		reason = authErr.Reason.String()
	}
	got := *want
	got.Status = map[bool]string{true: "signed_in", false: "signed_out"}[err == nil]
	got.Reason = reason
	got.UserID, got.SessionID, got.OrgID, got.OrgRole = auth.UserID(), auth.SessionID(), auth.OrgID(), auth.OrgRole()
	got.OrgPermissions = auth.OrgPermissions()
	if strings.Join(got.OrgPermissions, ",") == strings.Join(want.OrgPermissions, ",") {
		got.OrgPermissions = want.OrgPermissions // nil and empty are equal here
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got  %+v\nwant %+v (%v)", got, *want, err)
	}
}

// setField sets the field of the Config whose tag is the name of the setting.
func setField(t *testing.T, config *clerkauth.Config, setting [3]any, url string) {
	t.Helper()
	values := reflect.ValueOf(config).Elem()
	for i := range values.NumField() {
		if values.Type().Field(i).Tag.Get("setting") != setting[1] {
			continue
		}
		field := values.Field(i)
		value, _ := setting[2].(string)
		value = strings.ReplaceAll(value, "{api_url}", url)
		switch to := field.Addr().Interface().(type) {
		case *string:
			*to = value
		case *[]string:
			if setting[0] == "set" {
				*to = strings.Split(value, ",")
			} else {
				*to = append(*to, value)
			}
		case **int64:
			*to = clerkauth.Int(int64(setting[2].(float64)))
		case **bool:
			*to = clerkauth.Bool(setting[2].(float64) == 1)
		default:
			t.Fatalf("cannot set %v", setting)
		}
		return
	}
	t.Fatalf("no field for %v", setting)
}
