// Package malloc tells tests how much memory the C library's heap holds.
package malloc

// #include <malloc.h>
import "C"

// InUse is how many bytes are allocated and not freed yet.
func InUse() int {
	info := C.mallinfo2()
	return int(info.uordblks) + int(info.hblkhd)
}
