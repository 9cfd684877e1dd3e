/* Checks of memory ranges for the debug build; nothing in a release.
 *
 * An entry point registers its arrays. Every kernel then checks, once a call, that each range that
 * it will touch lies in one of them.
 */
#ifndef FASTBP_CHECK_H
#define FASTBP_CHECK_H

#if defined(FASTBP_CHECK)
#define FBP_CHECKED 1

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define FBP_MOST_BUFFERS 32

/* Each thread has its own, since several may train at a time. */
static _Thread_local struct { const char *start, *end, *name; } fbp_buffers[FBP_MOST_BUFFERS];
static _Thread_local int fbp_buffer_count;

static inline void fbp_forget(void) { fbp_buffer_count = 0; }

static inline void fbp_register_bytes(const char *name, const void *start, ptrdiff_t bytes)
{
    if (fbp_buffer_count == FBP_MOST_BUFFERS) {
        fprintf(stderr, "fastbp: more than %d arrays to register\n", FBP_MOST_BUFFERS);
        abort();
    }
    fbp_buffers[fbp_buffer_count].start = (const char *)start;
    fbp_buffers[fbp_buffer_count].end = (const char *)start + bytes;
    fbp_buffers[fbp_buffer_count].name = name;
    fbp_buffer_count++;
}

static inline void fbp_check_bytes(
    const char *function, const char *what, const void *start, ptrdiff_t bytes)
{
    const char *first = (const char *)start;
    if (bytes <= 0) return;
    for (int b = 0; b < fbp_buffer_count; b++)
        if (fbp_buffers[b].start <= first && first + bytes <= fbp_buffers[b].end) return;
    fprintf(stderr, "fastbp: %s touches %td bytes at %s (%p), which lie in no array:\n",
            function, bytes, what, start);
    for (int b = 0; b < fbp_buffer_count; b++)
        fprintf(stderr, "  %p to %p: %s\n", (const void *)fbp_buffers[b].start,
                (const void *)fbp_buffers[b].end, fbp_buffers[b].name);
    abort();
}

#define fbp_register(name, p, count) \
    fbp_register_bytes(name, p, (ptrdiff_t)(count) * (ptrdiff_t)sizeof *(p))
#define fbp_check(p, count) \
    fbp_check_bytes(__func__, #p, p, (ptrdiff_t)(count) * (ptrdiff_t)sizeof *(p))

#else
#define FBP_CHECKED 0

#define fbp_forget() ((void)0)
#define fbp_register(name, p, count) ((void)(name))
#define fbp_check(p, count) ((void)0)

#endif
#endif
