package clerkauth

import (
	"runtime"
	"testing"
	"unsafe"
)

func TestTokensThatAreOverAreNotKept(t *testing.T) {
	var kept remembered
	auth := func(address int, expiresAt int64) *Auth {
		// Never followed: addresses inside of one array of C's.
		id := &identity{expiresAt: expiresAt}
		*(*uintptr)(unsafe.Pointer(&id.result)) = uintptr(0x10000 + 64*address)
		return &Auth{id: id}
	}
	old := make([]*Auth, 500)
	for i := range old {
		old[i] = auth(i, 1)
		kept.place(old[i].id.result).Store(old[i])
	}
	young := auth(1000, 1<<62)
	for range 2 * len(kept.places) / 8 {
		kept.keep(young)
	}
	if kept.find(young.id.result) != young {
		t.Error("one that is good is gone")
	}
	for _, auth := range old {
		if kept.find(auth.id.result) != nil {
			t.Fatal("one that is over is still there")
		}
	}
	// Another result with the same place is another one.
	for i := range 1 << 20 {
		other := auth(2000+i, 1<<62)
		if kept.place(other.id.result) == kept.place(young.id.result) {
			if kept.find(other.id.result) != nil {
				t.Error("somebody else's")
			}
			kept.keep(other)
			if kept.find(young.id.result) != nil || kept.find(other.id.result) != other {
				t.Error("the place was not taken")
			}
			runtime.KeepAlive(young)
			return
		}
	}
	t.Error("no two have one place")
}
