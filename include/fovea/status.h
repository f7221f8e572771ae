/* Status codes and error text.
 *
 * Every function of fovea that can fail returns an fv_status: FV_OK (0) means success and nothing else does. Such a
 * function takes an `fv_error *` as its last argument; it may be NULL when the caller does not want the text. The text
 * is one sentence: where, what was found, what was expected, what to do.
 *
 * Ownership: an fv_error is a plain value owned by the caller; it holds no memory. Threads: one error per thread.
 */
#ifndef FOVEA_STATUS_H
#define FOVEA_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, meaning). Values are stable. */
#define FV_STATUS_MAP(X)                                           \
  X(OK, 0, "success")                                              \
  X(EUSAGE, 1, "malformed option, number, address or argument")    \
  X(EIO, 2, "a file cannot be opened, read or written")            \
  X(EFORMAT, 3, "a file is not what it claims to be")              \
  X(EUNSUPPORTED, 4, "valid, but not supported by this build")     \
  X(ESHAPE, 5, "shapes or sizes do not agree")                     \
  X(ENOTFOUND, 6, "a tensor, key, name or address does not exist") \
  X(ENOMEM, 7, "out of memory, or over the memory budget")         \
  X(ENONFINITE, 8, "a weight or an activation is NaN or infinite") \
  X(ECONFLICT, 9, "two requests contradict each other")            \
  X(EMISMATCH, 10, "a comparison failed")                          \
  X(ECANCELLED, 11, "stopped on request")                          \
  X(EINTERNAL, 12, "a bug in fovea; please report it")

typedef enum fv_status {
#define FV_STATUS_ENUM(name, value, text) FV_##name = value,
  FV_STATUS_MAP(FV_STATUS_ENUM)
#undef FV_STATUS_ENUM
} fv_status;

#define FV_ERROR_TEXT 1024

typedef struct fv_error {
  fv_status status;
  char text[FV_ERROR_TEXT]; /* NUL-terminated UTF-8, "" after success */
} fv_error;

/* The meaning of a status, e.g. "out of memory, or over the memory budget". Never NULL. */
const char *fv_status_text(fv_status status);

#if defined(__GNUC__)
#define FV_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FV_PRINTF(fmt, args)
#endif

/* Sets the error (when err is not NULL) and returns `status`, so that `return fv_fail(...)` is the usual form. */
fv_status fv_fail(fv_error *err, fv_status status, const char *format, ...) FV_PRINTF(3, 4);

/* Puts "prefix: " before the text of an error already set, keeping its status; returns that status. */
fv_status fv_fail_prefix(fv_error *err, fv_status status, const char *format, ...) FV_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
