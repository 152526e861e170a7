package clerkauth

// #include <stdlib.h>
// #include <string.h>
// #include "bridge.h"
import "C"

import (
	"net/http"
	"unsafe"
)

// lines are the header lines of a request that matter.
type lines struct {
	authorization, cookie     string
	method, fetchDest, accept string
	// all holds every line of the above when one of the first two is there twice: the library has to see that.
	all []line
}

type line struct{ name, value string }

func linesOf(r *http.Request) lines {
	var made lines
	authorization, cookie := r.Header["Authorization"], r.Header["Cookie"]
	if len(authorization) > 0 {
		made.authorization = authorization[0]
	}
	if len(cookie) > 0 {
		made.cookie = cookie[0]
	}
	// Only a page load can be sent to Clerk and back, and none brings an Authorization line.
	if len(authorization) == 0 && (r.Method == http.MethodGet || r.Method == "") {
		made.method = http.MethodGet
		made.fetchDest, made.accept = first(r.Header["Sec-Fetch-Dest"]), first(r.Header["Accept"])
	}
	if len(authorization) > 1 || len(cookie) > 1 {
		made.doubled(authorization, cookie)
	}
	return made
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (l *lines) doubled(authorization, cookie []string) {
	for _, value := range authorization {
		l.all = append(l.all, line{"authorization", value})
	}
	for _, value := range cookie {
		l.all = append(l.all, line{"cookie", value})
	}
	if l.fetchDest != "" {
		l.all = append(l.all, line{"sec-fetch-dest", l.fetchDest})
	}
	if l.accept != "" {
		l.all = append(l.all, line{"accept", l.accept})
	}
}

// packed are header lines in memory of C's: an array of C may not hold pointers of Go's.
type packed struct {
	headers *C.clerk_header
	count   C.size_t
}

func pack(all []line) packed {
	if len(all) == 0 {
		return packed{}
	}
	size := len(all) * C.sizeof_clerk_header
	for _, line := range all {
		size += len(line.name) + len(line.value)
	}
	memory := C.malloc(C.size_t(size)) // never nil: cgo's malloc ends the process instead
	headers := unsafe.Slice((*C.clerk_header)(memory), len(all))
	rest := unsafe.Slice((*byte)(memory), size)[len(all)*C.sizeof_clerk_header:]
	put := func(text string) C.clerk_str {
		copied := copy(rest, text)
		at := (*C.char)(unsafe.Pointer(unsafe.SliceData(rest)))
		rest = rest[copied:]
		return C.clerk_str{data: at, len: C.size_t(copied)}
	}
	for i, line := range all {
		headers[i] = C.clerk_header{name: put(line.name), value: put(line.value)}
	}
	return packed{(*C.clerk_header)(memory), C.size_t(len(all))}
}

func (p packed) free() { C.free(unsafe.Pointer(p.headers)) }
