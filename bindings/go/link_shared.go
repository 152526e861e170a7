//go:build clerk_shared

package clerkauth

// #cgo pkg-config: clerk-auth
import "C"
