package sqlstore

import (
	"fmt"
	"strconv"
	"time"
)

// milliseconds scans a BIGINT, also as a string, or a time; NULL is 0.
type milliseconds int64

func (m *milliseconds) Scan(value any) error {
	switch value := value.(type) {
	case nil:
		*m = 0
	case int64:
		*m = milliseconds(value)
	case time.Time:
		*m = milliseconds(value.UnixMilli())
	case []byte:
		return m.parse(string(value))
	case string:
		return m.parse(value)
	default:
		return fmt.Errorf("sqlstore: %T is no time in milliseconds", value)
	}
	return nil
}

func (m *milliseconds) parse(value string) error {
	number, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("sqlstore: no time in milliseconds: %w", err)
	}
	*m = milliseconds(number)
	return nil
}

// flag scans a BOOLEAN, an integer or a BIT(1); NULL is false.
type flag bool

func (f *flag) Scan(value any) error {
	switch value := value.(type) {
	case nil:
		*f = false
	case bool:
		*f = flag(value)
	case int64:
		return f.parse(strconv.FormatInt(value, 10))
	case []byte:
		// BIT(1) of MySQL
		if len(value) == 1 && value[0] <= 1 {
			*f = value[0] == 1
			return nil
		}
		return f.parse(string(value))
	case string:
		return f.parse(value)
	default:
		return fmt.Errorf("sqlstore: %T is no boolean", value)
	}
	return nil
}

func (f *flag) parse(value string) error {
	parsed, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("sqlstore: no boolean: %w", err)
	}
	*f = flag(parsed)
	return nil
}
