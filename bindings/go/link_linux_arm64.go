//go:build !clerk_shared

package clerkauth

import _ "github.com/clerk-auth/clerk-auth/bindings/go/lib/linux_arm64" // so that `go mod vendor` copies the archive

// #cgo CFLAGS: -I${SRCDIR}/lib/linux_arm64
// #cgo LDFLAGS: ${SRCDIR}/lib/linux_arm64/libclerk_auth.a -lutil -lrt -lpthread -lm -ldl -lc
import "C"
