/* Linked to the C tests under ThreadSanitizer: rustc names these functions as newer runtimes do, that of gcc 12 only intercepts the
 * plain ones. */
#include <string.h>

void *__tsan_memcpy(void *to, const void *from, size_t len);
void *__tsan_memcpy(void *to, const void *from, size_t len) {
    return memcpy(to, from, len);
}

void *__tsan_memmove(void *to, const void *from, size_t len);
void *__tsan_memmove(void *to, const void *from, size_t len) {
    return memmove(to, from, len);
}

void *__tsan_memset(void *to, int byte, size_t len);
void *__tsan_memset(void *to, int byte, size_t len) {
    return memset(to, byte, len);
}
