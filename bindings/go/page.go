//go:build cgo

package clerkauth

// #include "bridge.h"
import "C"

import (
	"net/http"
	"strings"
)

// Page is what the browser handshake adds to a response; see [Config.Handshake]. The middlewares send it.
type Page struct {
	// Redirect is the value of Location for a 307; "" without a redirect. A request that is signed in may be redirected,
	// too. Do not log it: it may hold a token.
	Redirect string
	// SetCookies are the values of Set-Cookie lines, each to be added by itself, in this order.
	SetCookies []string
	// CacheControl is the value of a Cache-Control line: "no-store" with a redirect or cookies, else "".
	CacheControl string
}

// newPage reads a result; it returns nil if the handshake adds nothing.
func newPage(result *C.clerk_result, view *C.clerkgo_result_view) *Page {
	if view.redirect.data == nil && view.set_cookie_count == 0 {
		return nil
	}
	page := &Page{Redirect: goString(view.redirect), CacheControl: "no-store"}
	for i := C.size_t(0); i < view.set_cookie_count; i++ {
		var line C.clerk_str
		if C.clerk_result_set_cookie(result, i, &line) == C.CLERK_OK {
			page.SetCookies = append(page.SetCookies, goString(line))
		}
	}
	return page
}

// write adds the page's headers to a response. It reports whether it has sent a redirect, so that nothing is left to do.
func (p *Page) write(w http.ResponseWriter) bool {
	if p == nil {
		return false
	}
	for _, line := range p.SetCookies {
		w.Header().Add("Set-Cookie", line)
	}
	w.Header().Set("Cache-Control", p.CacheControl)
	if p.Redirect == "" {
		return false
	}
	// http.Redirect would rewrite the URL.
	w.Header().Set("Location", p.Redirect)
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

// addPage adds the parts that a redirect needs. url is the public URL, or "" if the request has it.
func (params *requestParams) addPage(r *http.Request, url string) {
	scheme, host, target := "http", r.Host, r.RequestURI
	if r.TLS != nil {
		scheme = "https"
	}
	if url != "" {
		var rest string
		scheme, rest, _ = strings.Cut(url, "://")
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		host, target = rest[:end], rest[end:]
	}
	params.host, params.origin = host, single(r.Header["Origin"])
	params.fetchSite = single(r.Header["Sec-Fetch-Site"])
	params.fetchDest = single(nonEmpty(r.Header["Sec-Fetch-Dest"]))
	params.accept = first(nonEmpty(r.Header["Accept"]))
	fields := []string{
		scheme, target, first(nonEmpty(r.Header["Referer"])), first(nonEmpty(r.Header["User-Agent"])),
		first(nonEmpty(r.Header["X-Forwarded-For"])), first(nonEmpty(r.Header["X-Forwarded-Host"])),
		first(nonEmpty(r.Header["X-Forwarded-Proto"])),
	}
	for i, field := range fields {
		// net/http rejects header lines with a NUL byte.
		fields[i] = strings.ReplaceAll(field, "\x00", "")
	}
	params.page = strings.Join(fields, "\x00")
}

// nonEmpty returns the values without empty ones, which count as absent.
func nonEmpty(values []string) []string {
	var kept []string
	for _, value := range values {
		if value != "" {
			kept = append(kept, value)
		}
	}
	return kept
}

// Page returns what the browser handshake adds to the response; nil if nothing. The middlewares send it.
func (a *Auth) Page() *Page {
	if !a.IsAuthenticated() {
		return nil
	}
	return a.page
}
