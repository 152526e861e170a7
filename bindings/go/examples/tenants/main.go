// Command tenants serves several sites, each with its own authorized parties: it chooses the client of a request by its host.
//
//	CLERK_SECRET_KEY=sk_test_... tenants
package main

import (
	"fmt"
	"log"
	"net"
	"net/http"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// newSites returns the handler of each site. It creates the clients once: a client has its own cache and keys. Never create one for
// any host that a request names.
func newSites(next http.Handler, hosts ...string) (map[string]http.Handler, error) {
	sites := map[string]http.Handler{}
	for _, host := range hosts {
		client, err := clerkauth.New(clerkauth.Config{FromEnv: true, AuthorizedParties: []string{"https://" + host}})
		if err != nil {
			return nil, err
		}
		sites[host] = client.RequireAuth(next)
	}
	return sites, nil
}

func main() {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth, _ := clerkauth.FromContext(r.Context())
		fmt.Fprintln(w, auth.UserID(), "at", r.Host)
	})
	sites, err := newSites(hello, "shop.example.com", "admin.example.com")
	if err != nil {
		log.Fatal(err)
	}
	choose := func(w http.ResponseWriter, r *http.Request) {
		site, ok := sites[r.Host]
		if !ok {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		site.ServeHTTP(w, r)
	}
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("http://" + listener.Addr().String())
	log.Fatal(http.Serve(listener, http.HandlerFunc(choose)))
}
