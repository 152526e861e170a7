package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"unsafe"
)

// StorePanic stands behind [ErrUnavailable] when a method of the [UserStore] panicked.
type StorePanic struct {
	Value any
	Stack []byte
}

func (p *StorePanic) Error() string { return fmt.Sprintf("the user store panicked: %v", p.Value) }

// Unwrap is what it panicked with, if that is an error.
func (p *StorePanic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// storeCall is one authentication's, or one delivery's, conversation with the user store.
type storeCall struct {
	ctx   context.Context
	store UserStore
	// err is what the store failed with, and user the row it gave last.
	err  error
	user *User
}

func (c *Client) storeCall(ctx context.Context) *storeCall {
	return &storeCall{ctx: context.WithValue(ctx, inside{c}, true), store: c.store}
}

// inSteps authenticates with a user table that is asked from here, between calls into C: the request's context reaches
// it, no thread is kept while it works, and a panic in it is one like any other. Who only needs a look at the row waits for
// nobody else.
func (c *Client) inSteps(ctx context.Context, asked *lines) (*Auth, error) {
	outcome := c.ask(C.CLERKGO_BEGIN_CACHED, asked)
	if outcome.status == C.CLERK_WOULD_BLOCK {
		var err error
		if outcome, err = c.await(ctx, func() C.clerkgo_outcome { return c.ask(C.CLERKGO_BEGIN, asked) }); err != nil {
			return nil, err
		}
	}
	if outcome.status != C.CLERK_PENDING {
		return c.conclude(outcome, nil)
	}
	call := c.storeCall(ctx)
	if err := c.drive(ctx, call, outcome.pending); err != nil {
		return nil, err
	}
	return c.withUser(call, C.clerkgo_finish(outcome.pending))
}

// drive takes all steps of an authentication or of a delivery. Unless it returns nil, pending is freed, now or when a call
// ends: also when the store ends the goroutine.
func (c *Client) drive(ctx context.Context, call *storeCall, pending *C.clerk_pending) error {
	isOurs := true
	defer func() {
		if isOurs {
			C.clerk_pending_free(pending)
		}
	}()
	for {
		if err := c.open(); err != nil {
			return err
		}
		var step C.clerkgo_step
		var status C.int32_t
		switch kind := C.clerkgo_wants(pending, &step); kind {
		case C.CLERK_STORE_REQUEST_KIND_DONE:
			isOurs = false
			return nil
		case C.CLERK_STORE_REQUEST_KIND_FETCH_USER:
			if err := c.enter(ctx); err != nil {
				return err
			}
			isOurs = false // but the call's
			fetched, err := run(ctx, &c.gate, func() C.clerkgo_outcome {
				return C.clerkgo_outcome{status: C.clerkgo_fetch(pending), pending: pending}
			}, discard)
			if err != nil {
				return err
			}
			isOurs, status = true, fetched.status
		default:
			returned := call.answer(&step, C.clerk_pending_response(pending))
			if returned >= 0 && ctx.Err() != nil {
				return ended(ctx)
			}
			status = C.clerkgo_answer(pending, returned)
		}
		if status != C.CLERK_OK {
			return errorOf(status, nil, nil, "", nil)
		}
	}
}

// withUser concludes, and adds the store's own row to who is signed in.
func (c *Client) withUser(call *storeCall, outcome C.clerkgo_outcome) (*Auth, error) {
	var cause error
	if outcome.status == C.CLERK_UNAVAILABLE {
		cause = call.err
	}
	auth, err := c.conclude(outcome, cause)
	if err != nil || call.user == nil || call.user.Key != auth.UserKey() {
		return auth, err
	}
	return &Auth{id: auth.id, user: call.user}, nil
}

// answer has the store answer one step, and returns what a hook of the C library would.
func (s *storeCall) answer(step *C.clerkgo_step, reply *C.clerk_store_response) (returned C.int32_t) {
	defer func() {
		if value := recover(); value != nil {
			s.err = &StorePanic{value, debug.Stack()}
			returned = -1
		}
	}()
	err := s.ask(step, reply)
	if err == nil {
		return C.CLERK_STORE_OK
	}
	s.err = err
	if errors.Is(err, ErrConflict) && (step.kind == C.CLERK_STORE_REQUEST_KIND_CREATE || step.kind == C.CLERK_STORE_REQUEST_KIND_UPDATE) {
		return C.CLERK_STORE_CONFLICT
	}
	return -1
}

func (s *storeCall) ask(step *C.clerkgo_step, reply *C.clerk_store_response) error {
	text, key := textOf(step.text), textOf(step.key)
	switch step.kind {
	case C.CLERK_STORE_REQUEST_KIND_FIND_BY_KEY:
		return s.found(reply)(s.store.FindByKey(s.ctx, key))
	case C.CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID:
		return s.found(reply)(s.store.FindByClerkID(s.ctx, text))
	case C.CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL:
		users, err := s.store.FindByEmail(s.ctx, text)
		if err != nil {
			return err
		}
		// Two are as good as many, and the library takes no more than a few.
		for _, user := range users[:min(2, len(users))] {
			if err := s.found(reply)(user, nil); err != nil {
				return err
			}
		}
		return nil
	case C.CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN:
		taken, err := s.store.UsernameTaken(s.ctx, text, key)
		if err != nil {
			return err
		}
		yes := C.int32_t(0)
		if taken {
			yes = 1
		}
		return accepted(C.clerk_store_response_set_username_taken(reply, yes))
	case C.CLERK_STORE_REQUEST_KIND_CREATE:
		return s.written(reply)(s.store.Create(s.ctx, fieldsOf(step)))
	case C.CLERK_STORE_REQUEST_KIND_UPDATE:
		return s.written(reply)(s.store.Update(s.ctx, key, fieldsOf(step)))
	default:
		return fmt.Errorf("the library asks the user store what it cannot answer (%d)", step.kind)
	}
}

// found replies with a row, or with nothing.
func (s *storeCall) found(reply *C.clerk_store_response) func(*User, error) error {
	return func(user *User, err error) error {
		if err != nil || user == nil {
			return err
		}
		s.user = user
		row, bytes := rowOf(user)
		return accepted(C.clerkgo_reply_row(reply, &row, dataOf(bytes)))
	}
}

// written replies with the row as it is now: the table may have its own mind about who is active.
func (s *storeCall) written(reply *C.clerk_store_response) func(*User, error) error {
	return func(user *User, err error) error {
		if err == nil && user == nil {
			return errors.New("the user store's Create or Update returned no row")
		}
		return s.found(reply)(user, err)
	}
}

func accepted(status C.int32_t) error {
	if status != C.CLERK_OK {
		return errors.New("the user store's row has no key, or a text that is too long, not UTF-8, or holds a NUL")
	}
	return nil
}

// rowOf packs a row, with all its texts in one piece of memory.
func rowOf(user *User) (row C.clerkgo_row, bytes string) {
	texts := [...]string{user.Key, user.ClerkID, user.Email, user.Username, user.FirstName, user.LastName, user.ImageURL}
	var all []byte
	for i, text := range texts {
		all = append(all, text...)
		row.ends[i] = C.uint32_t(len(all))
		isNullable := i > 0 && (Column(i-1) == ColumnClerkID || Column(i-1) == ColumnEmail || Column(i-1) == ColumnImageURL)
		if isNullable && text == "" {
			row.is_null[i] = 1
		}
	}
	row.has_int = [...]C.uint8_t{0, 1, 1}
	if user.LastActiveAtMs != 0 {
		row.has_int[0], row.ints[0] = 1, C.int64_t(user.LastActiveAtMs)
	}
	if user.IsActive {
		row.ints[1] = 1
	}
	if user.BannedByClerk {
		row.ints[2] = 1
	}
	return row, unsafe.String(unsafe.SliceData(all), len(all))
}

func fieldsOf(step *C.clerkgo_step) Fields {
	var fields Fields
	for i := range step.writes {
		if step.writes[i] == 0 {
			continue
		}
		column := Column(i)
		field := Field{Column: column}
		switch {
		case i < C.CLERKGO_TEXT_COLUMNS:
			if text := step.texts[i]; text.data != nil {
				field.Value = textOf(text)
			}
		case step.writes[i] == 2:
		case column == ColumnLastActiveAtMs:
			field.Value = int64(step.ints[i-C.CLERKGO_TEXT_COLUMNS])
		default:
			field.Value = step.ints[i-C.CLERKGO_TEXT_COLUMNS] == 1
		}
		fields = append(fields, field)
	}
	return fields
}
