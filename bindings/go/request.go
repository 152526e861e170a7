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

// credentials are the lines that say who the sender is. All cookie lines are one (RFC 9113 section 8.2.3).
type credentials struct {
	authorization, cookie string
	// second is another Authorization line, with which nobody comes in.
	second    string
	isDoubled bool
}

// lines are the header lines of a request that matter. However many there are: the library is given a few.
type lines struct {
	credentials
	method, fetchDest, accept string
}

func linesOf(r *http.Request) lines {
	var made lines
	authorization := r.Header["Authorization"]
	made.authorization = first(authorization)
	if made.isDoubled = len(authorization) > 1; made.isDoubled {
		made.second = authorization[1]
	}
	if cookie := r.Header["Cookie"]; len(cookie) < 2 {
		made.cookie = first(cookie)
	} else {
		made.cookie = strings.Join(cookie, "; ")
	}
	// Only a page load can be sent to Clerk and back, and none brings an Authorization line.
	if len(authorization) == 0 && (r.Method == http.MethodGet || r.Method == "") {
		made.method = http.MethodGet
		made.fetchDest, made.accept = first(r.Header["Sec-Fetch-Dest"]), first(r.Header["Accept"])
	}
	return made
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

type line struct{ name, value string }

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
