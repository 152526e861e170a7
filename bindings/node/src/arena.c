#include "arena.h"

#include <stdlib.h>

struct heap_block {
    struct heap_block *next;
    char bytes[];
};

char *arena_alloc(struct arena *arena, size_t size)
{
    if ((size_t)(arena->end - arena->next) >= size) {
        char *bytes = arena->next;
        arena->next += size;
        return bytes;
    }
    struct heap_block *block = malloc(sizeof(struct heap_block) + size);
    if (block == NULL)
        return NULL;
    block->next = arena->heap_blocks;
    arena->heap_blocks = block;
    return block->bytes;
}

void arena_free(struct arena *arena)
{
    for (struct heap_block *next, *block = arena->heap_blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    arena->heap_blocks = NULL;
}
