package clerkauth

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// initialisms are written in a way of their own in Go names.
var initialisms = map[string]string{
	"api": "API", "id": "ID", "jwk": "JWK", "jwks": "JWKS", "jwt": "JWT", "url": "URL", "ttl": "TTL", "ca": "CA", "pem": "PEM",
	"m2m": "M2M", "oauth": "OAuth",
}

func camelCase(snake string) string {
	var name strings.Builder
	for _, word := range strings.Split(strings.ToLower(snake), "_") {
		if known, ok := initialisms[word]; ok {
			name.WriteString(known)
		} else {
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return name.String()
}

func headerText(t *testing.T) string {
	t.Helper()
	path := filepath.Join(os.Getenv("CLERK_STAGE"), "include", "clerk_auth.h")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("CLERK_STAGE must be the path of the staged tree; bindings/go/test.sh sets it: %v", err)
	}
	return string(data)
}

// constants returns the names of the exported constants of the package, by type.
func constants(t *testing.T) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok {
				if kind, ok := spec.Type.(*ast.Ident); ok && spec.Names[0].IsExported() {
					names[kind.Name] = append(names[kind.Name], spec.Names[0].Name)
				}
			}
			return true
		})
	}
	return names
}

func TestConstantsMatchHeader(t *testing.T) {
	header := headerText(t)
	own := constants(t)
	for enum, kind := range map[string]struct{ name, prefix string }{
		"REASON": {"Reason", "Reason"}, "CATEGORY": {"Category", "Category"}, "SOURCE": {"Source", "Source"},
		"TOKEN_KIND": {"TokenKind", "TokenKind"}, "EVENT_KIND": {"EventKind", "Event"}, "COLUMN": {"Column", "Column"},
	} {
		var want []string
		for _, found := range regexp.MustCompile(`(?m)^    CLERK_`+enum+`_([A-Z0-9_]+) = \d+,`).FindAllStringSubmatch(header, -1) {
			want = append(want, kind.prefix+camelCase(found[1]))
		}
		if len(want) < 2 || !slices.Equal(own[kind.name], want) {
			t.Errorf("%s\ngot  %v\nwant %v", enum, own[kind.name], want)
		}
	}
	// The names that String returns are those of the header.
	for kind := EventAuthSuccess; kind <= EventSecretKeyRejected; kind++ {
		if camelCase(kind.String()) != strings.TrimPrefix(own["EventKind"][kind-1], "Event") {
			t.Errorf("the constant of %v is %s", kind, own["EventKind"][kind-1])
		}
	}
	for _, column := range Columns() {
		if "Column"+camelCase(column.String()) != own["Column"][column] {
			t.Errorf("the constant of %v is %s", column, own["Column"][column])
		}
	}
	if ReasonTokenExpired.String() != "token-expired" || Reason(999).String() != "" || Column(len(Columns())).String() != "" {
		t.Error("String of a reason or column")
	}
}

func TestErrorsMatchHeader(t *testing.T) {
	known := map[string]error{"SIGNED_OUT": ErrSignedOut, "NO_CREDENTIALS": ErrNoCredentials, "UNAVAILABLE": ErrUnavailable,
		"ARGUMENT": ErrArgument, "UTF8": ErrArgument, "CONFIG": ErrConfig, "FORKED": ErrForked, "API": ErrAPI,
		"REENTRANT": ErrReentrant, "WEBHOOK": ErrWebhook}
	// Callers never see these: they are successes, intermediate, or bugs of this package.
	internal := []string{"OK", "WOULD_BLOCK", "PENDING", "WEBHOOK_IGNORED", "NULL", "STRUCT_SIZE", "STATE", "NOT_FOUND", "PANIC"}
	enum := regexp.MustCompile(`(?s)enum clerk_status .*?\n\}`).FindString(headerText(t))
	statuses := regexp.MustCompile(`(?m)^ +CLERK_(?:E_)?([A-Z0-9_]+) = -?\d+,?$`).FindAllStringSubmatch(enum, -1)
	seen := 0
	for _, found := range statuses {
		name := found[1]
		seen++
		if slices.Contains(internal, name) {
			continue
		}
		if known[name] == nil {
			t.Errorf("no error for CLERK_%s", name)
		}
		delete(known, name)
	}
	if seen < 15 || len(known) != 0 {
		t.Errorf("%d statuses; missing in the header: %v", seen, known)
	}
	for status, kind := range kinds {
		if got := newError(status, nil, nil, "", nil); got.kind != kind || got.Status < 400 {
			t.Errorf("%d: %v", status, got)
		}
	}
}

func TestConfigHasEverySetting(t *testing.T) {
	config := reflect.TypeOf(Config{})
	var own []string
	for i := range config.NumField() {
		if name := config.Field(i).Tag.Get("setting"); name != "" {
			own = append(own, name)
			if want := camelCase(name); config.Field(i).Name != want {
				t.Errorf("the field of %s is %s, want %s", name, config.Field(i).Name, want)
			}
		}
	}
	if want := settingNames(); len(want) < 20 || !slices.Equal(own, want) {
		t.Errorf("got  %v\nwant %v", own, want)
	}
}

func TestOlderLibraryIsRejected(t *testing.T) {
	if err := checkABI(loadedABI(), Version()); err != nil {
		t.Error(err)
	}
	if err := checkABI(headerMajor<<16|(headerMinor+1), "9.9.9"); err != nil {
		t.Errorf("a newer library: %v", err)
	}
	for _, loaded := range []uint32{(headerMajor+1)<<16 | headerMinor, headerMajor<<16 | (headerMinor - 1)} {
		err := checkABI(loaded, "0.0.7")
		if err == nil || !strings.Contains(err.Error(), "0.0.7") || strings.Count(err.Error(), "binary interface") != 2 {
			t.Errorf("%x: %v", loaded, err)
		}
	}
}
