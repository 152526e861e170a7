// Package malloc reports the use of the C heap, for tests.
package malloc

// #include <malloc.h>
import "C"

// InUse returns the number of bytes that are allocated.
func InUse() int {
	info := C.mallinfo2()
	return int(info.uordblks) + int(info.hblkhd)
}
