//go:build !cgo

package clerkauth

// The only declaration without cgo, so that the compiler prints this one error.
var _ int = "clerkauth needs cgo: set CGO_ENABLED=1 and install a C compiler for the target, linux/amd64 or linux/arm64"
