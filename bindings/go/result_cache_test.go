package clerkauth

import (
	"runtime"
	"testing"
	"unsafe"
)

func TestResultCacheEvictsExpired(t *testing.T) {
	var cache resultCache
	auth := func(address int, expiresAt int64) *Auth {
		// Never dereferenced.
		result := &authResult{expiresAt: expiresAt}
		*(*uintptr)(unsafe.Pointer(&result.c)) = uintptr(0x10000 + 64*address)
		return &Auth{result: result}
	}
	old := make([]*Auth, 500)
	for i := range old {
		old[i] = auth(i, 1)
		cache.slot(old[i].result.c).Store(old[i])
	}
	young := auth(1000, 1<<62)
	for range 2 * len(cache.slots) / 8 {
		cache.put(young)
	}
	if cache.get(young.result.c) != young {
		t.Error("a valid token was evicted")
	}
	for _, auth := range old {
		if cache.get(auth.result.c) != nil {
			t.Fatal("an expired token was not evicted")
		}
	}
	// Another result in the same slot is not confused with it.
	for i := range 1 << 20 {
		other := auth(2000+i, 1<<62)
		if cache.slot(other.result.c) == cache.slot(young.result.c) {
			if cache.get(other.result.c) != nil {
				t.Error("get returned the Auth of another result")
			}
			cache.put(other)
			if cache.get(young.result.c) != nil || cache.get(other.result.c) != other {
				t.Error("put did not evict")
			}
			runtime.KeepAlive(young)
			return
		}
	}
	t.Error("no two results share a slot")
}
