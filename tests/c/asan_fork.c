/* Linked to the C tests under AddressSanitizer, whose allocator (gcc 12) has no handlers for `fork`, unlike that of
 * glibc: a lock of it that another thread holds during the fork stays held in the child, which then waits for ever in `malloc`.
 * Here a fork waits until no thread allocates; all other locks stay as they are. The linker's --wrap leads the calls here. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

static pthread_mutex_t allocator = PTHREAD_MUTEX_INITIALIZER;

static void lock(void) {
    pthread_mutex_lock(&allocator);
}

static void unlock(void) {
    pthread_mutex_unlock(&allocator);
}

/* Before other handlers are registered: then it is the last one that runs before a fork, and the others may allocate. */
__attribute__((constructor)) static void wait_for_the_allocator_at_fork(void) {
    if (pthread_atfork(lock, unlock, unlock) != 0) abort();
}

#define WRAP(type, name, parameters, arguments)  \
    type __real_##name parameters;               \
    type __wrap_##name parameters;               \
    type __wrap_##name parameters {              \
        lock();                                  \
        type result = __real_##name arguments;   \
        unlock();                                \
        return result;                           \
    }
WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *memory, size_t size), (memory, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(int, posix_memalign, (void **memory, size_t alignment, size_t size), (memory, alignment, size))

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory) {
    lock();
    __real_free(memory);
    unlock();
}
