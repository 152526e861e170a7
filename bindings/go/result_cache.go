package clerkauth

// #include "bridge.h"
import "C"

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// resultCache maps results of the library to their Auth. The library returns one and the same result for a token as long
// as it is cached, so that a cache hit copies nothing.
//
// An Auth holds a reference to its result, and so does the caller of get: while an Auth is in the cache, no other result
// can have the same address. Each result has one slot; a later one evicts the earlier.
type resultCache struct {
	slots [1 << slotBits]atomic.Pointer[Auth]
	swept atomic.Uint64
}

const slotBits = 13

func (c *resultCache) slot(result *C.clerk_result) *atomic.Pointer[Auth] {
	const golden = 0x9e3779b97f4a7c15 // Fibonacci hashing: aligned addresses have equal low bits
	return &c.slots[uint64(uintptr(unsafe.Pointer(result)))*golden>>(64-slotBits)]
}

func (c *resultCache) get(result *C.clerk_result) *Auth {
	auth := c.slot(result).Load()
	if auth == nil || auth.result.c != result {
		return nil
	}
	return auth
}

func (c *resultCache) put(auth *Auth) {
	c.evictExpired(time.Now().UnixMilli())
	c.slot(auth.result.c).Store(auth)
}

// evictExpired checks the next few slots and evicts expired tokens.
func (c *resultCache) evictExpired(now int64) {
	const few = 8
	last := c.swept.Add(few)
	for next := last - few; next < last; next++ {
		slot := &c.slots[next%uint64(len(c.slots))]
		if auth := slot.Load(); auth != nil && auth.result.expiresAt < now {
			slot.CompareAndSwap(auth, nil)
		}
	}
}

func (c *resultCache) clear() {
	for i := range c.slots {
		c.slots[i].Store(nil)
	}
}
