/* An arena for the strings of one call: a caller-provided buffer first, the heap after that. */
#ifndef CLERK_NODE_ARENA_H
#define CLERK_NODE_ARENA_H

#include <stddef.h>

struct arena {
    char *next, *end;
    void *heap_blocks;
};

/* Declares an arena with `size` bytes on the stack. */
#define ARENA(name, size)     \
    char name##_buffer[size]; \
    struct arena name = { name##_buffer, name##_buffer + (size), NULL }

/* Returns `size` bytes that are valid until `arena_free`; NULL without memory. */
char *arena_alloc(struct arena *arena, size_t size);
/* Frees the heap blocks. The caller's buffer stays. */
void arena_free(struct arena *arena);

#endif
