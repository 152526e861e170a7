package clerkauth

import (
	"context"
	"errors"
)

// UserStore is the host's user table. Several calls may run at once, two of them about one user. The context is that of
// the authentication (or of the webhook delivery); calls that are made with it to the client itself give [ErrReentrant]
// when they would have to wait.
//
// A method that returns an error or panics makes the outcome [ErrUnavailable] with that error as its cause: nobody is
// signed in, nothing is remembered. Finding nothing is no error: nil, nil. When the context has ended, what a method
// returns no longer counts; but a method that never returns keeps its caller waiting.
//
// Every row that is returned is taken as it is, those of Create and Update as well: with all columns that the table has, or
// the others count as empty. A row whose IsActive is false keeps its user out, the request that made it included; one whose
// ClerkID is not the user's (in a table that has that column) lets nobody in, either.
type UserStore interface {
	// FindByKey finds the row with the host's own key.
	FindByKey(ctx context.Context, key string) (*User, error)
	// FindByClerkID finds the row of a Clerk user; compared exactly.
	FindByClerkID(ctx context.Context, clerkID string) (*User, error)
	// FindByEmail finds the rows with an address, compared without case; two are enough.
	FindByEmail(ctx context.Context, email string) ([]*User, error)
	// UsernameTaken says whether a row other than exceptKey (which may be "") has that name, compared without case.
	UsernameTaken(ctx context.Context, username, exceptKey string) (bool, error)
	// Create makes a row and returns it as it is now. [ErrConflict] if a unique column already holds such a value.
	Create(ctx context.Context, fields Fields) (*User, error)
	// Update changes the row's columns, these only, and returns the row as it is now. [ErrConflict] as for Create.
	Update(ctx context.Context, key string, fields Fields) (*User, error)
}

// ErrConflict is what Create and Update return, wrapped or not, when a unique column already holds such a value. The row
// is looked for again.
var ErrConflict = errors.New("a unique column already holds such a value")

// Schema says what the table of a [UserStore] has room for.
type Schema struct {
	// Columns are the columns it has; nil for all.
	Columns []Column
	// Lengths are how many characters fit into the text columns; those that are not named have no limit.
	Lengths map[Column]uint32
}

// SchemaStore is a [UserStore] whose table lacks columns or has short ones.
type SchemaStore interface {
	UserStore
	Schema() Schema
}

// User is a row of the host's user table. Empty texts and a LastActiveAtMs of 0 stand for NULL where a column may be NULL.
type User struct {
	// Key is the host's own key, as text; never empty.
	Key string
	// ClerkID is the Clerk user that the row belongs to.
	ClerkID   string
	Email     string
	Username  string
	FirstName string
	LastName  string
	ImageURL  string
	// LastActiveAtMs is in milliseconds since 1970-01-01 UTC.
	LastActiveAtMs int64
	// IsActive must be true for the user to come in; a table without such a column always says true.
	IsActive bool
	// BannedByClerk says that it was a ban at Clerk that made the row inactive.
	BannedByClerk bool
	// Row is the host's own object for the row, if the store wants handlers to have it.
	Row any
}

// Field is a column that is to be written.
type Field struct {
	Column Column
	// Value is a string, an int64 (ColumnLastActiveAtMs), a bool (ColumnIsActive, ColumnBannedByClerk), or nil for NULL.
	Value any
}

// Fields are the columns that are to be written, in the order of their numbers.
type Fields []Field

// Apply writes the fields into a row.
func (f Fields) Apply(to *User) {
	for _, field := range f {
		text, _ := field.Value.(string)
		number, _ := field.Value.(int64)
		yes, _ := field.Value.(bool)
		switch field.Column {
		case ColumnClerkID:
			to.ClerkID = text
		case ColumnEmail:
			to.Email = text
		case ColumnUsername:
			to.Username = text
		case ColumnFirstName:
			to.FirstName = text
		case ColumnLastName:
			to.LastName = text
		case ColumnImageURL:
			to.ImageURL = text
		case ColumnLastActiveAtMs:
			to.LastActiveAtMs = number
		case ColumnIsActive:
			to.IsActive = yes
		case ColumnBannedByClerk:
			to.BannedByClerk = yes
		}
	}
}
