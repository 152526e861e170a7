package clerkauth

// #include <stdlib.h>
// #include <string.h>
// #include "bridge.h"
import "C"

import (
	"net/http"
	"strings"
	"unsafe"
)

// maxCookies is the longest Cookie header that the library reads.
const maxCookies = 64 << 10

// tooLongCookies is rejected by the library, as are the lines in whose place it is.
var tooLongCookies = strings.Repeat(";", maxCookies+1)

// credentials are the headers that authenticate a request. Cookie headers are joined (RFC 9113 section 8.2.3).
type credentials struct {
	authorization, cookie string
	// A request with more than one Authorization header is rejected by the library, which needs to see two of them.
	secondAuthorization    string
	hasSecondAuthorization bool
}

// requestParams are the parts of a request that the library reads, however many headers the request has.
type requestParams struct {
	credentials
	method, fetchDest, accept string
	// For the setting csrf. A header that occurs twice is invalid.
	host, origin, fetchSite string
	// For the setting handshake: scheme, target, and headers, separated by NUL bytes; "" without it.
	page string
}

// readParams reads a request for this client's settings. params is empty before.
func (c *Client) readParams(params *requestParams, r *http.Request) {
	params.read(r)
	if c != nil && c.handshake {
		url := ""
		if c.publicURL != nil {
			url = c.publicURL(r)
		}
		params.addPage(r, url)
	}
}

func (params *requestParams) read(r *http.Request) {
	authorization := r.Header["Authorization"]
	params.authorization = first(authorization)
	if params.hasSecondAuthorization = len(authorization) > 1; params.hasSecondAuthorization {
		params.secondAuthorization = authorization[1]
	}
	params.cookie = joinCookies(r.Header["Cookie"])
	if params.method = r.Method; params.method == "" {
		params.method = http.MethodGet
	}
	switch params.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
	default:
		params.host, params.origin = r.Host, single(r.Header["Origin"])
		params.fetchSite = single(r.Header["Sec-Fetch-Site"])
	}
	// These are for the handshake only, which applies to document requests without an Authorization header.
	if len(authorization) == 0 && params.method == http.MethodGet {
		params.fetchDest, params.accept = first(r.Header["Sec-Fetch-Dest"]), first(r.Header["Accept"])
	}
}

// joinCookies copies no more than the library reads.
func joinCookies(lines []string) string {
	if len(lines) < 2 {
		return first(lines)
	}
	size := 2 * (len(lines) - 1)
	for _, line := range lines {
		size += len(line)
	}
	if size > maxCookies {
		return tooLongCookies
	}
	return strings.Join(lines, "; ")
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// single returns the one value of a header; "" if it is absent. An empty value becomes a blank, which is not absent; several
// become a comma, which no header that is read so contains.
func single(values []string) string {
	switch {
	case len(values) == 0:
		return ""
	case len(values) > 1:
		return ","
	case values[0] == "":
		return " "
	}
	return values[0]
}

type header struct{ name, value string }

// cHeaders are headers in C memory: a C array must not hold Go pointers.
type cHeaders struct {
	data  *C.clerk_header
	count C.size_t
}

func newCHeaders(headers []header) cHeaders {
	if len(headers) == 0 {
		return cHeaders{}
	}
	size := len(headers) * C.sizeof_clerk_header
	for _, h := range headers {
		size += len(h.name) + len(h.value)
	}
	memory := C.malloc(C.size_t(size)) // never nil: cgo's malloc aborts the process instead
	array := unsafe.Slice((*C.clerk_header)(memory), len(headers))
	rest := unsafe.Slice((*byte)(memory), size)[len(headers)*C.sizeof_clerk_header:]
	put := func(s string) C.clerk_str {
		copied := copy(rest, s)
		data := (*C.char)(unsafe.Pointer(unsafe.SliceData(rest)))
		rest = rest[copied:]
		return C.clerk_str{data: data, len: C.size_t(copied)}
	}
	for i, h := range headers {
		array[i] = C.clerk_header{name: put(h.name), value: put(h.value)}
	}
	return cHeaders{(*C.clerk_header)(memory), C.size_t(len(headers))}
}

func (h cHeaders) free() { C.free(unsafe.Pointer(h.data)) }
