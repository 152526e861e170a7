//go:build cgo

package clerkauth

import "sync"

// rowCache holds the rows that the user store returned last, by key: those of the most recent users, in two generations. The
// methods of a nil cache may be called.
type rowCache struct {
	mu       sync.Mutex
	capacity int
	young    map[string]*User
	old      map[string]*User
}

const defaultCacheCapacity = 10_000

func newRowCache(capacity *int64) *rowCache {
	c := &rowCache{capacity: defaultCacheCapacity, young: map[string]*User{}}
	if capacity != nil {
		c.capacity = max(int(*capacity), 1)
	}
	return c
}

func (c *rowCache) get(key string) *User {
	if c == nil || key == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if user := c.young[key]; user != nil {
		return user
	}
	user := c.old[key]
	if user != nil {
		c.add(user)
	}
	return user
}

func (c *rowCache) put(user *User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(user)
}

func (c *rowCache) add(user *User) {
	if len(c.young) >= c.capacity {
		c.young, c.old = map[string]*User{}, c.young
	}
	c.young[user.Key] = user
}

func (c *rowCache) clear() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = map[string]*User{}, nil
}
