// Package linux_arm64 holds the static archive and the header for linux/arm64; this file keeps the folder in `go mod vendor`.
package linux_arm64
