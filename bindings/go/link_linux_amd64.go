//go:build !clerk_shared

package clerkauth

import _ "github.com/clerk-auth/clerk-auth/bindings/go/lib/linux_amd64" // so that `go mod vendor` copies the archive

// #cgo CFLAGS: -I${SRCDIR}/lib/linux_amd64
// #cgo LDFLAGS: ${SRCDIR}/lib/linux_amd64/libclerk_auth.a -lutil -lrt -lpthread -lm -ldl -lc
import "C"
