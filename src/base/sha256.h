/* SHA-256 of bytes and of files, as lower-case hexadecimal text.
 *
 * The digest is OpenSSL's. A file is read through a memory map in pieces that are given back to the kernel afterwards,
 * so a file larger than memory is no trouble. Threads: any; nothing is shared.
 */
#ifndef FOVEA_BASE_SHA256_H
#define FOVEA_BASE_SHA256_H

#include <stddef.h>

#include "base/files.h"
#include "fovea/status.h"

#define FV_SHA256_HEX 65 /* 64 digits and the NUL */

fv_status fv_sha256_bytes(const void *data, size_t bytes, char hex[FV_SHA256_HEX], fv_error *err);
/* The same over a mapped file, dropping each piece from memory after it was read. */
fv_status fv_sha256_map(const fv_map *map, char hex[FV_SHA256_HEX], fv_error *err);
fv_status fv_sha256_file(const char *path, char hex[FV_SHA256_HEX], fv_error *err);

#endif
