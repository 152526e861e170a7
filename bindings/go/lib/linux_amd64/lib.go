// Package linux_amd64 holds the static archive and the header for linux/amd64; this file keeps the folder in `go mod vendor`.
package linux_amd64
