// Package cloop runs cached authentications in a loop in C, as the baseline of the benchmark.
package cloop

// #cgo CFLAGS: -O2 -I${SRCDIR}/../../lib/linux_amd64
// #cgo LDFLAGS: ${SRCDIR}/../../lib/linux_amd64/libclerk_auth.a -lutil -lrt -lpthread -lm -ldl -lc
// #include <clerk_auth.h>
// #include <dlfcn.h>
// #include <stdlib.h>
//
// typedef void (*sha256_fn)(const uint8_t *, size_t, uint8_t *);
//
// static sha256_fn load_sha256(const char *path)
// {
//     void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
//     return library ? (sha256_fn)dlsym(library, "anchor_sha256") : NULL;
// }
//
// static uint8_t run_sha256(sha256_fn sha256, clerk_str token, int64_t times)
// {
//     uint8_t hash[32], all = 0;
//     for (int64_t i = 0; i < times; i++) {
//         sha256((const uint8_t *)token.data, token.len, hash);
//         all |= hash[0] | hash[31];
//     }
//     return all;
// }
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

// SHA256 is a function of a shared library that hashes with the code of the Rust library.
type SHA256 struct{ c C.sha256_fn }

// LoadSHA256 loads the library of benches/anchor.
func LoadSHA256(path string) (*SHA256, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	function := C.load_sha256(name)
	if function == nil {
		return nil, errors.New(path + " cannot be loaded")
	}
	return &SHA256{function}, nil
}

// Run hashes a token the given number of times and returns that number.
func (s *SHA256) Run(token string, times int) int {
	if C.run_sha256(s.c, view(token), C.int64_t(times)) == 0 {
		return 0
	}
	return times
}
