package clerkauth

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"unsafe"
)

// StorePanicError is the cause of [ErrUnavailable] when a method of the [UserStore] panicked.
type StorePanicError struct {
	// Value is the argument of panic.
	Value any
	// Stack is the stack trace of the panic.
	Stack []byte
}

func (p *StorePanicError) Error() string { return fmt.Sprintf("the user store panicked: %v", p.Value) }

// Unwrap returns the value of the panic if it is an error.
func (p *StorePanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// storeSession executes the store requests of one authentication or webhook delivery.
type storeSession struct {
	ctx   context.Context
	end   context.CancelFunc
	store UserStore
	err   error // the last error of the store
	user  *User // the last row that the store returned
}

// newStoreSession returns a session whose context is also done when the client is closed. The caller defers end.
func (c *Client) newStoreSession(ctx context.Context) *storeSession {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, storeKey{c}, true))
	stop := context.AfterFunc(c.closing, func() { cancel(usageError(ErrClosed, "")) })
	end := func() {
		stop()
		cancel(nil)
	}
	return &storeSession{ctx: ctx, end: end, store: c.store}
}

// authenticateStepwise authenticates with a user store in Go. Store methods run between C calls: they get the request's
// context, hold no thread, and may panic. A cached result that only needs its row checked takes no slot.
func (c *Client) authenticateStepwise(ctx context.Context, params *requestParams, mark C.uint64_t) (*Auth, error) {
	result := c.callInline(ctx, C.CLERKGO_BEGIN_CACHED, params, mark)
	if result.status == C.CLERK_WOULD_BLOCK {
		var err error
		result, err = c.callBlocking(ctx, func() C.clerkgo_call_result { return c.call(C.CLERKGO_BEGIN, params, mark) })
		if err != nil {
			return nil, err
		}
	}
	if result.status != C.CLERK_PENDING {
		return c.finish(result, nil)
	}
	session := c.newStoreSession(ctx)
	defer session.end()
	if err := c.runPending(ctx, session, result.pending); err != nil {
		return nil, err
	}
	return c.finishWithUser(session, c.finishPending(ctx, result.pending))
}

// runPending performs the actions of a pending authentication or delivery until none is left. It frees pending unless it
// returns nil, also if the store ends the goroutine.
func (c *Client) runPending(ctx context.Context, session *storeSession, pending *C.clerk_pending) error {
	isOwner := true
	defer func() {
		if isOwner {
			C.clerk_pending_free(pending)
		}
	}()
	for {
		if err := c.checkOpen(); err != nil {
			return err
		}
		var request C.clerkgo_store_request
		var status C.int32_t
		switch C.clerkgo_next_action(pending, &request) {
		case C.CLERK_STORE_REQUEST_KIND_DONE:
			isOwner = false
			return nil
		case C.CLERK_STORE_REQUEST_KIND_FETCH_USER:
			if err := c.acquireSlot(ctx); err != nil {
				return err
			}
			isOwner = false // the call owns it, and may outlive ctx
			fetched, err := callWithContext(ctx, &c.limiter, func() C.clerkgo_call_result {
				defer enterCall(ctx).leave()
				return C.clerkgo_call_result{status: C.clerkgo_fetch(pending), pending: pending}
			}, freeCallResult)
			if err != nil {
				return err
			}
			isOwner, status = true, fetched.status
		default:
			returned := session.execute(&request, C.clerk_pending_response(pending))
			if returned >= 0 && ctx.Err() != nil {
				return contextError(ctx)
			}
			status = c.submit(ctx, pending, returned)
		}
		if status != C.CLERK_OK {
			return newError(status, nil, nil, "", nil)
		}
	}
}

// submit passes the store's response on, and logs with ctx what follows.
func (c *Client) submit(ctx context.Context, pending *C.clerk_pending, returned C.int32_t) C.int32_t {
	if c.hasLogger {
		defer enterCall(ctx).leave()
	}
	return C.clerkgo_submit(pending, returned)
}

// finishPending ends a pending call, and logs its result with ctx.
func (c *Client) finishPending(ctx context.Context, pending *C.clerk_pending) C.clerkgo_call_result {
	if c.hasLogger {
		defer enterCall(ctx).leave()
	}
	return C.clerkgo_finish(pending)
}

// finishWithUser converts a call result like finish, and adds the row that the store returned.
func (c *Client) finishWithUser(session *storeSession, result C.clerkgo_call_result) (*Auth, error) {
	var cause error
	if result.status == C.CLERK_UNAVAILABLE {
		cause = session.err
	}
	auth, err := c.finish(result, cause)
	if err != nil || session.user == nil || session.user.Key != auth.UserKey() {
		return auth, err
	}
	c.rows.put(session.user)
	return &Auth{result: auth.result, user: session.user, rows: c.rows, page: auth.page}, nil
}

// execute executes one store request and returns what a store callback in C would.
func (s *storeSession) execute(request *C.clerkgo_store_request, response *C.clerk_store_response) (returned C.int32_t) {
	defer func() {
		if value := recover(); value != nil {
			s.err = &StorePanicError{value, debug.Stack()}
			returned = -1
		}
	}()
	err := s.dispatch(request, response)
	if err == nil {
		return C.CLERK_STORE_OK
	}
	s.err = err
	isWrite := request.kind == C.CLERK_STORE_REQUEST_KIND_CREATE || request.kind == C.CLERK_STORE_REQUEST_KIND_UPDATE
	if isWrite && errors.Is(err, ErrConflict) {
		return C.CLERK_STORE_CONFLICT
	}
	return -1
}

func (s *storeSession) dispatch(request *C.clerkgo_store_request, response *C.clerk_store_response) error {
	value, key := goString(request.value), goString(request.key)
	switch request.kind {
	case C.CLERK_STORE_REQUEST_KIND_FIND_BY_KEY:
		return s.addFound(response)(s.store.FindByKey(s.ctx, key))
	case C.CLERK_STORE_REQUEST_KIND_FIND_BY_CLERK_ID:
		return s.addFound(response)(s.store.FindByClerkID(s.ctx, value))
	case C.CLERK_STORE_REQUEST_KIND_FIND_BY_EMAIL:
		users, err := s.store.FindByEmail(s.ctx, value)
		if err != nil {
			return err
		}
		for _, user := range decisive(users) {
			if err := s.addFound(response)(user, nil); err != nil {
				return err
			}
		}
		return nil
	case C.CLERK_STORE_REQUEST_KIND_USERNAME_TAKEN:
		taken, err := s.store.UsernameTaken(s.ctx, value, key)
		if err != nil {
			return err
		}
		flag := C.int32_t(0)
		if taken {
			flag = 1
		}
		return responseError(C.clerk_store_response_set_username_taken(response, flag))
	case C.CLERK_STORE_REQUEST_KIND_CREATE:
		return s.addWritten(response)(s.store.Create(s.ctx, fieldsOf(request)))
	case C.CLERK_STORE_REQUEST_KIND_UPDATE:
		return s.addWritten(response)(s.store.Update(s.ctx, key, fieldsOf(request), conditionOf(request)))
	default:
		return fmt.Errorf("unknown user store request %d", request.kind)
	}
}

// decisive returns two of the rows with an address, which are ambiguous already. One that the application has deactivated is
// among them.
func decisive(users []*User) []*User {
	rows := slices.DeleteFunc(slices.Clone(users), func(user *User) bool { return user == nil })
	rank := func(user *User) int {
		if user.IsActive || user.BannedByClerk {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(rows, func(one, other *User) int { return rank(one) - rank(other) })
	return rows[:min(2, len(rows))]
}

// addFound adds a row to the response; a nil row is none.
func (s *storeSession) addFound(response *C.clerk_store_response) func(*User, error) error {
	return func(user *User, err error) error {
		if err != nil || user == nil {
			return err
		}
		s.user = user
		row, bytes := packRow(user)
		return responseError(C.clerkgo_add_row(response, &row, cData(bytes)))
	}
}

// addWritten adds the row that Create or Update returned, which may differ from what was written.
func (s *storeSession) addWritten(response *C.clerk_store_response) func(*User, error) error {
	return func(user *User, err error) error {
		if err == nil && user == nil {
			return errors.New("the user store returned no row from Create or Update")
		}
		return s.addFound(response)(user, err)
	}
}

func responseError(status C.int32_t) error {
	if status != C.CLERK_OK {
		return errors.New("the user store returned a row without a key, or with a string that is too long, not UTF-8, or contains NUL")
	}
	return nil
}

// packRow packs a row, with all its strings in one buffer.
func packRow(user *User) (row C.clerkgo_row, bytes string) {
	values := [...]string{user.Key, user.ClerkID, user.Email, user.Username, user.FirstName, user.LastName, user.ImageURL}
	var all []byte
	for i, value := range values {
		all = append(all, value...)
		row.ends[i] = C.uint32_t(len(all))
		isNullable := i > 0 && (Column(i-1) == ColumnClerkID || Column(i-1) == ColumnEmail || Column(i-1) == ColumnImageURL)
		if isNullable && value == "" {
			row.is_null[i] = 1
		}
	}
	row.has_int = [...]C.uint8_t{0, 1, 1, 0}
	if user.LastActiveAtMs != 0 {
		row.has_int[0], row.ints[0] = 1, C.int64_t(user.LastActiveAtMs)
	}
	if user.IsActive {
		row.ints[1] = 1
	}
	if user.BannedByClerk {
		row.ints[2] = 1
	}
	if user.ClerkUpdatedAtMs != 0 {
		row.has_int[3], row.ints[3] = 1, C.int64_t(user.ClerkUpdatedAtMs)
	}
	return row, unsafe.String(unsafe.SliceData(all), len(all))
}

// conditionOf returns the condition of an update.
func conditionOf(request *C.clerkgo_store_request) UpdateCondition {
	condition := UpdateCondition{
		OnlyIfUnlinked: request.only_if_unlinked == 1,
		OnlyIfActive:   request.only_if_active == 1,
		OnlyIfBanned:   request.only_if_banned == 1,
	}
	if request.has_max_version == 1 {
		version := int64(request.max_version)
		condition.MaxVersion = &version
	}
	return condition
}

// fieldsOf returns the columns that a request writes.
func fieldsOf(request *C.clerkgo_store_request) Fields {
	const unchanged, null = 0, 2
	var fields Fields
	for i, write := range request.writes {
		if write == unchanged {
			continue
		}
		column := Column(i)
		field := Field{Column: column}
		switch {
		case i < C.CLERKGO_STRING_COLUMNS:
			if value := request.strings[i]; value.data != nil {
				field.Value = goString(value)
			}
		case write == null:
		case column == ColumnLastActiveAtMs || column == ColumnClerkUpdatedAtMs:
			field.Value = int64(request.ints[i-C.CLERKGO_STRING_COLUMNS])
		default:
			field.Value = request.ints[i-C.CLERKGO_STRING_COLUMNS] == 1
		}
		fields = append(fields, field)
	}
	return fields
}
