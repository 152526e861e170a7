package clerkauth

// #include "bridge.h"
import "C"

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// remembered finds the Auth that was made of a result before. The library hands out one and the same result for a token
// as long as it remembers it, so that a hit copies nothing.
//
// An Auth holds its result, so that no other result can have its address while the Auth is here; and who looks for one
// holds it as well. Each result has one place; whoever comes later takes it.
type remembered struct {
	places [1 << placeBits]atomic.Pointer[Auth]
	swept  atomic.Uint64
}

const placeBits = 13

func (r *remembered) place(result *C.clerk_result) *atomic.Pointer[Auth] {
	const golden = 0x9e3779b97f4a7c15 // spreads addresses, which have much in common, over all places
	return &r.places[uint64(uintptr(unsafe.Pointer(result)))*golden>>(64-placeBits)]
}

func (r *remembered) find(result *C.clerk_result) *Auth {
	auth := r.place(result).Load()
	if auth == nil || auth.id.result != result {
		return nil
	}
	return auth
}

func (r *remembered) keep(auth *Auth) {
	r.sweep(time.Now().UnixMilli())
	r.place(auth.id.result).Store(auth)
}

// sweep looks at the next few places, and drops whose token is over. Nothing is lost if it was not.
func (r *remembered) sweep(now int64) {
	const few = 8
	last := r.swept.Add(few)
	for next := last - few; next < last; next++ {
		place := &r.places[next%uint64(len(r.places))]
		if auth := place.Load(); auth != nil && auth.id.expiresAt < now {
			place.CompareAndSwap(auth, nil)
		}
	}
}

func (r *remembered) clear() {
	for i := range r.places {
		r.places[i].Store(nil)
	}
}
