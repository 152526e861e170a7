package main

import (
	"context"
	"strconv"
	"strings"
	"sync"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// customers is a [clerkauth.UserStore] in memory.
type customers struct {
	mu   sync.Mutex
	rows map[string]clerkauth.User
}

func newCustomers() *customers { return &customers{rows: map[string]clerkauth.User{}} }

// find returns copies of the rows that match. The caller holds the mutex.
func (c *customers) find(match func(clerkauth.User) bool) []*clerkauth.User {
	var found []*clerkauth.User
	for _, row := range c.rows {
		if match(row) {
			found = append(found, &row)
		}
	}
	return found
}

func (c *customers) findOne(match func(clerkauth.User) bool) (*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.find(match); len(found) > 0 {
		return found[0], nil
	}
	return nil, nil
}

func (c *customers) FindByKey(_ context.Context, key string) (*clerkauth.User, error) {
	return c.findOne(func(row clerkauth.User) bool { return row.Key == key })
}

func (c *customers) FindByClerkID(_ context.Context, id string) (*clerkauth.User, error) {
	return c.findOne(func(row clerkauth.User) bool { return row.ClerkID == id })
}

func (c *customers) FindByEmail(_ context.Context, email string) ([]*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(func(row clerkauth.User) bool { return strings.EqualFold(row.Email, email) }), nil
}

func (c *customers) UsernameTaken(_ context.Context, username, exceptKey string) (bool, error) {
	row, err := c.findOne(func(row clerkauth.User) bool {
		return strings.EqualFold(row.Username, username) && row.Key != exceptKey
	})
	return row != nil, err
}

func (c *customers) Create(_ context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(clerkauth.User{Key: strconv.Itoa(len(c.rows) + 1)}, fields)
}

func (c *customers) Update(_ context.Context, key string, fields clerkauth.Fields, condition clerkauth.UpdateCondition) (*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	row, ok := c.rows[key]
	if !ok || !condition.Allows(&row) {
		return nil, clerkauth.ErrConflict
	}
	return c.write(row, fields)
}

// write writes a row unless its Clerk id or username belongs to another row. The caller holds the mutex.
func (c *customers) write(row clerkauth.User, fields clerkauth.Fields) (*clerkauth.User, error) {
	fields.Apply(&row)
	conflicts := c.find(func(other clerkauth.User) bool {
		return other.Key != row.Key && (row.ClerkID != "" && other.ClerkID == row.ClerkID ||
			strings.EqualFold(other.Username, row.Username))
	})
	if len(conflicts) > 0 {
		return nil, clerkauth.ErrConflict
	}
	c.rows[row.Key] = row
	return &row, nil
}
