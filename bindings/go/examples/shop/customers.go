package main

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	clerkauth "github.com/clerk-auth/clerk-auth/bindings/go"
)

// customers is a user table in memory: what a UserStore has to do, without a database.
type customers struct {
	mu   sync.Mutex
	rows map[string]clerkauth.User
}

func newCustomers() *customers { return &customers{rows: map[string]clerkauth.User{}} }

func (c *customers) where(fits func(clerkauth.User) bool) []*clerkauth.User {
	var found []*clerkauth.User
	for _, row := range c.rows {
		if fits(row) {
			found = append(found, &row)
		}
	}
	return found
}

func (c *customers) one(fits func(clerkauth.User) bool) (*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, row := range c.where(fits) {
		return row, nil
	}
	return nil, nil
}

func (c *customers) FindByKey(_ context.Context, key string) (*clerkauth.User, error) {
	return c.one(func(row clerkauth.User) bool { return row.Key == key })
}

func (c *customers) FindByClerkID(_ context.Context, id string) (*clerkauth.User, error) {
	return c.one(func(row clerkauth.User) bool { return row.ClerkID == id })
}

func (c *customers) FindByEmail(_ context.Context, email string) ([]*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.where(func(row clerkauth.User) bool { return strings.EqualFold(row.Email, email) }), nil
}

func (c *customers) UsernameTaken(_ context.Context, name, except string) (bool, error) {
	row, err := c.one(func(row clerkauth.User) bool { return strings.EqualFold(row.Username, name) && row.Key != except })
	return row != nil, err
}

func (c *customers) Create(_ context.Context, fields clerkauth.Fields) (*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.put(clerkauth.User{Key: strconv.Itoa(len(c.rows) + 1)}, fields)
}

func (c *customers) Update(_ context.Context, key string, fields clerkauth.Fields) (*clerkauth.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	row, ok := c.rows[key]
	if !ok {
		return nil, errors.New("no customer " + key)
	}
	return c.put(row, fields)
}

// put writes a row, unless another one has what only one may have.
func (c *customers) put(row clerkauth.User, fields clerkauth.Fields) (*clerkauth.User, error) {
	fields.Apply(&row)
	others := c.where(func(other clerkauth.User) bool {
		return other.Key != row.Key && (row.ClerkID != "" && other.ClerkID == row.ClerkID ||
			strings.EqualFold(other.Username, row.Username))
	})
	if len(others) > 0 {
		return nil, clerkauth.ErrConflict
	}
	c.rows[row.Key] = row
	return &row, nil
}
