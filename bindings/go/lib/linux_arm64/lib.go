// Package linux_arm64 holds the static archive and the header for linux/arm64. This file makes `go mod vendor`
// copy the directory.
package linux_arm64
