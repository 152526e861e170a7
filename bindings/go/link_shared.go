//go:build clerk_shared

package clerkauth

// #cgo CFLAGS: -DCLERKGO_SHARED
// #cgo pkg-config: clerk-auth
import "C"
