// Package linux_amd64 holds the static archive and the header for linux/amd64. This file makes `go mod vendor`
// copy the directory.
package linux_amd64
