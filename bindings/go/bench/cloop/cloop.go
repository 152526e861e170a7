// Package cloop runs cached authentications in a loop in C, as the baseline of the benchmark.
package cloop

// #cgo CFLAGS: -O2 -I${SRCDIR}/../../lib/linux_amd64
// #cgo LDFLAGS: ${SRCDIR}/../../lib/linux_amd64/libclerk_auth.a -lutil -lrt -lpthread -lm -ldl -lc
// #include <clerk_auth.h>
// #include <dlfcn.h>
// #include <stdlib.h>
//
// typedef const void *(*new_fn)(const char *, size_t, const char *, size_t);
// typedef void (*repeat_fn)(const void *, uint64_t);
//
// struct anchor { const void *token; repeat_fn sha256, rs256; };
//
// static struct anchor load_anchor(const char *path, clerk_str pem, clerk_str token)
// {
//     struct anchor anchor = {0};
//     void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
//     if (library) {
//         anchor.token = ((new_fn)dlsym(library, "anchor_new"))(pem.data, pem.len, token.data, token.len);
//         anchor.sha256 = (repeat_fn)dlsym(library, "anchor_sha256");
//         anchor.rs256 = (repeat_fn)dlsym(library, "anchor_rs256");
//     }
//     return anchor;
// }
//
// static void run_anchor(struct anchor anchor, repeat_fn function, int64_t times) { function(anchor.token, (uint64_t)times); }
//
// static clerk_client *new_client(clerk_str jwt_key)
// {
//     clerk_client *client = NULL;
//     clerk_config *config = clerk_config_new();
//     if (clerk_config_set(config, CLERK_STR("jwt_key"), jwt_key, NULL) == CLERK_OK)
//         (void)clerk_client_new(config, &client, NULL);
//     clerk_config_free(config);
//     return client;
// }
//
// /* Returns how many requests were signed in from the cache, with a user and a session. */
// static int64_t run(const clerk_client *client, clerk_str authorization, int64_t times)
// {
//     int64_t good = 0;
//     for (int64_t i = 0; i < times; i++) {
//         clerk_request request = CLERK_REQUEST_INIT;
//         clerk_result *result = NULL;
//         request.authorization = authorization;
//         if (clerk_authenticate_cached(client, &request, &result) == CLERK_OK)
//             good += clerk_result_source(result) == CLERK_SOURCE_CACHE && clerk_result_user_id(result).len > 0 &&
//                     clerk_result_session_id(result).len > 0;
//         clerk_result_free(result);
//     }
//     return good;
// }
import "C"

import (
	"errors"
	"unsafe"
)

// Client is a client of the C library.
type Client struct{ c *C.clerk_client }

// New returns a client that verifies with a PEM key.
func New(jwtKey string) (*Client, error) {
	client := C.new_client(view(jwtKey))
	if client == nil {
		return nil, errors.New("clerk_client_new failed")
	}
	return &Client{client}, nil
}

func view(s string) C.clerk_str {
	return C.clerk_str{data: (*C.char)(unsafe.Pointer(unsafe.StringData(s))), len: C.size_t(len(s))}
}

// Run authenticates the given number of times and returns how many were signed in from the cache.
func (c *Client) Run(authorization string, times int) int {
	return int(C.run(c.c, view(authorization), C.int64_t(times)))
}

// Anchor is what every implementation needs, by the crates of the Rust library.
type Anchor struct{ c C.struct_anchor }

// LoadAnchor loads the library of benches/anchor for a token and its key.
func LoadAnchor(path, pem, token string) (*Anchor, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	anchor := C.load_anchor(name, view(pem), view(token))
	if anchor.token == nil {
		return nil, errors.New(path + " cannot be loaded")
	}
	return &Anchor{anchor}, nil
}

// SHA256 hashes the token the given number of times and returns that number.
func (a *Anchor) SHA256(times int) int {
	C.run_anchor(a.c, a.c.sha256, C.int64_t(times))
	return times
}

// RS256 verifies the signature the given number of times and returns that number.
func (a *Anchor) RS256(times int) int {
	C.run_anchor(a.c, a.c.rs256, C.int64_t(times))
	return times
}
