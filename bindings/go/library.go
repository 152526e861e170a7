package clerkauth

// #include "bridge.h"
import "C"

import (
	"errors"
	"strconv"
)

// Error returns the name of the reason, as String does.
func (r Reason) Error() string { return r.String() }

// Category returns the category of the reason; 0 for an unknown reason.
func (r Reason) Category() Category { return Category(C.clerk_reason_category(C.int32_t(r))) }

// Columns returns all columns, in the order of their numbers.
func Columns() []Column {
	all := make([]Column, len(columnNames))
	for i := range all {
		all[i] = Column(i)
	}
	return all
}

// String returns the name of the column, such as "clerk_id"; "" for an unknown number.
func (c Column) String() string {
	if c < 0 || int(c) >= len(columnNames) {
		return ""
	}
	return columnNames[c]
}

// Version returns the version of the linked C library.
func Version() string { return C.GoString(C.clerk_version()) }

const (
	headerMajor = uint32(C.CLERK_ABI_MAJOR)
	headerMinor = uint32(C.CLERK_ABI_MINOR)
)

// checkABI returns an error if the library is older than the header this package was built with, or of another major
// version.
func checkABI(loaded uint32, version string) error {
	major, minor := loaded>>16, loaded&0xffff
	if major == headerMajor && minor >= headerMinor {
		return nil
	}
	number := func(major, minor uint32) string {
		return strconv.FormatUint(uint64(major), 10) + "." + strconv.FormatUint(uint64(minor), 10)
	}
	return errors.New("libclerk_auth " + version + " with binary interface " + number(major, minor) +
		" is loaded, but this program was built for binary interface " + number(headerMajor, headerMinor))
}

func loadedABI() uint32 { return uint32(C.clerk_abi_version()) }

// settingNames returns the names of all settings of the library, in the order of the README's tables.
func settingNames() []string {
	var names []string
	info := C.clerk_setting{struct_size: C.sizeof_clerk_setting}
	for C.clerk_setting_info(C.size_t(len(names)), &info) == C.CLERK_OK {
		names = append(names, C.GoStringN(info.name.data, C.int(info.name.len)))
	}
	return names
}
