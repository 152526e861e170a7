//go:build cgo

package clerkauth

import (
	"context"
	"errors"
)

// UserStore is the application's user table. Its methods may be called concurrently, also for one user. The context is
// that of the authentication or of the webhook delivery. Calls of the client itself with that context return
// [ErrReentrant] if they would block.
//
// If a method returns an error or panics, the call returns [ErrUnavailable] with that error as its cause, the request is
// not signed in, and nothing is cached. A row that is not found is not an error: return nil, nil. What a method returns
// after the context is done is ignored; a method that never returns blocks its caller.
//
// Every returned row must have all columns that the table has; this includes the rows that Create and Update return. A user
// whose row has IsActive false is rejected, also in the request that created the row, and so is one whose row has another
// ClerkID, unless the table lacks that column.
type UserStore interface {
	// FindByKey returns the row with the key.
	FindByKey(ctx context.Context, key string) (*User, error)
	// FindByClerkID returns the row of a Clerk user. It compares exactly.
	FindByClerkID(ctx context.Context, clerkID string) (*User, error)
	// FindByEmail returns the rows with the email address. It ignores case. Two are enough: first those that the application
	// has deactivated (IsActive and BannedByClerk are false), which may reject the user.
	FindByEmail(ctx context.Context, email string) ([]*User, error)
	// UsernameTaken reports whether a row other than exceptKey, which may be "", has the username. It ignores case.
	UsernameTaken(ctx context.Context, username, exceptKey string) (bool, error)
	// Create inserts a row and returns it as it is in the table. It returns [ErrConflict] if a unique column already has
	// one of the values.
	Create(ctx context.Context, fields Fields) (*User, error)
	// Update changes the columns in fields, and no others, of the row with the key if it fulfils the condition, which must be
	// part of the statement or of its transaction. It returns the row as it is in the table, or [ErrConflict] if no row was
	// updated or a unique column already has one of the values.
	Update(ctx context.Context, key string, fields Fields, condition UpdateCondition) (*User, error)
}

// UpdateCondition is what a row must fulfil to be updated. Other processes may have changed it since it was read.
type UpdateCondition struct {
	// OnlyIfUnlinked requires that the row has no ClerkID: UPDATE … AND clerk_id IS NULL.
	OnlyIfUnlinked bool
	// MaxVersion requires that ClerkUpdatedAtMs of the row is NULL or at most this. It is nil for a table without the column.
	MaxVersion *int64
	// OnlyIfActive requires that IsActive of the row is true: a row that the application has deactivated meanwhile is not
	// marked as banned.
	OnlyIfActive bool
	// OnlyIfBanned requires that IsActive of the row is false and BannedByClerk true: a row that the application has
	// deactivated meanwhile is not activated.
	OnlyIfBanned bool
}

// Allows reports whether a row fulfils the condition.
func (c UpdateCondition) Allows(row *User) bool {
	return !(c.OnlyIfUnlinked && row.ClerkID != "") && (c.MaxVersion == nil || row.ClerkUpdatedAtMs <= *c.MaxVersion) &&
		(!c.OnlyIfActive || row.IsActive) && (!c.OnlyIfBanned || (row.BannedByClerk && !row.IsActive))
}

// ErrConflict is returned by Create and Update of a [UserStore], wrapped or not, if a unique column already has the value or
// the row does not fulfil the [UpdateCondition]. The library then looks up the row again.
var ErrConflict = errors.New("a unique column already has this value, or the row has changed")

// Schema describes the table of a [UserStore].
type Schema struct {
	// Columns are the columns of the table; nil for all but ColumnClerkUpdatedAtMs.
	Columns []Column
	// Lengths are the maximum lengths of string columns in characters; a column that is not in it has no limit.
	Lengths map[Column]uint32
}

// SchemaStore is a [UserStore] whose table lacks columns or limits their lengths.
type SchemaStore interface {
	UserStore
	// Schema is called once, by [New].
	Schema() Schema
}

// StoreChecker is a [UserStore] that can tell whether its table can be used.
type StoreChecker interface {
	UserStore
	// Check returns an error that is [ErrConfig] if the table cannot be used. [New] calls it once and returns that error; it
	// ignores others, such as that of a database that cannot be reached.
	Check(ctx context.Context) error
}

// User is a row of the user table. An empty string, and 0 in a column of milliseconds, stand for NULL in a nullable column.
type User struct {
	// Key is the primary key as a string; never empty.
	Key string
	// ClerkID is the id of the Clerk user that the row belongs to.
	ClerkID   string
	Email     string
	Username  string
	FirstName string
	LastName  string
	ImageURL  string
	// LastActiveAtMs is in milliseconds since the Unix epoch.
	LastActiveAtMs int64
	// IsActive is false for a user who must be rejected. A store without this column sets it to true.
	IsActive bool
	// BannedByClerk reports whether a ban at Clerk set IsActive to false.
	BannedByClerk bool
	// ClerkUpdatedAtMs is the version of the Clerk user that the row was last written from, in milliseconds since the Unix
	// epoch; 0 for NULL. With this column no process overwrites newer data with older.
	ClerkUpdatedAtMs int64
	// Row is for the store's own use: handlers find it in [Auth.LocalUser].
	Row any
}

// Field is a column to write.
type Field struct {
	Column Column
	// Value is a string, an int64 (ColumnLastActiveAtMs, ColumnClerkUpdatedAtMs), a bool (ColumnIsActive, ColumnBannedByClerk), or nil for NULL.
	Value any
}

// Fields are the columns to write, in ascending order of Column.
type Fields []Field

// Apply writes the fields to a row.
func (f Fields) Apply(to *User) {
	for _, field := range f {
		s, _ := field.Value.(string)
		number, _ := field.Value.(int64)
		flag, _ := field.Value.(bool)
		switch field.Column {
		case ColumnClerkID:
			to.ClerkID = s
		case ColumnEmail:
			to.Email = s
		case ColumnUsername:
			to.Username = s
		case ColumnFirstName:
			to.FirstName = s
		case ColumnLastName:
			to.LastName = s
		case ColumnImageURL:
			to.ImageURL = s
		case ColumnLastActiveAtMs:
			to.LastActiveAtMs = number
		case ColumnIsActive:
			to.IsActive = flag
		case ColumnBannedByClerk:
			to.BannedByClerk = flag
		case ColumnClerkUpdatedAtMs:
			to.ClerkUpdatedAtMs = number
		}
	}
}
