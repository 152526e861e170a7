//go:build !clerk_shared

package clerkauth

import _ "github.com/clerk-auth/clerk-auth/bindings/go/lib/linux_amd64" // keeps the archive in a vendor folder

// #cgo CFLAGS: -I${SRCDIR}/lib/linux_amd64
// #cgo LDFLAGS: ${SRCDIR}/lib/linux_amd64/libclerk_auth.a -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
import "C"
