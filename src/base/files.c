#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

/* Opens a regular file for reading; O_NONBLOCK so that a FIFO is refused instead of waited for. */
static fv_status open_regular(const char *path, int *fd, size_t *size, fv_error *err) {
  int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (f < 0) return fv_fail(err, errno == ENOENT ? FV_ENOTFOUND : FV_EIO, "%s: cannot open: %s", path, strerror(errno));
  struct stat st;
  if (fstat(f, &st) != 0 || !S_ISREG(st.st_mode)) {
    close(f);
    return fv_fail(err, FV_EIO, "%s: is not a regular file", path);
  }
  *fd = f;
  *size = (size_t)st.st_size;
  return FV_OK;
}

fv_status fv_map_open(const char *path, fv_map *out, fv_error *err) {
  int fd;
  size_t size;
  *out = (fv_map){0};
  fv_status st = open_regular(path, &fd, &size, err);
  if (st) return st;
  if (size > 0) {
    void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
      int e = errno;
      close(fd);
      return fv_fail(err, FV_EIO, "%s: cannot map: %s", path, strerror(e));
    }
    out->data = p;
  }
  out->size = size;
  close(fd);
  return FV_OK;
}

void fv_map_close(fv_map *map) {
  if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
  *map = (fv_map){0};
}

void fv_map_drop(const fv_map *map, const void *data, size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uintptr_t lo = ((uintptr_t)data + page - 1) / page * page, hi = ((uintptr_t)data + bytes) / page * page;
  if (map->data && hi > lo) madvise((void *)lo, hi - lo, MADV_DONTNEED);
}

void fv_map_prefetch(const fv_map *map, const void *data, size_t bytes) {
  enum { PIECE = 8 << 20 };
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uintptr_t lo = (uintptr_t)data / page * page, end = (uintptr_t)data + bytes;
  for (; map->data && lo < end; lo += PIECE) {
    unsigned char there = 0;
    size_t n = end - lo < PIECE ? end - lo : PIECE;
    /* Asking for what is there would walk through all its pages. The last page goes out last. */
    uintptr_t last = (lo + n - 1) / page * page;
    if (mincore((void *)last, page, &there) == 0 && (there & 1)) continue;
    madvise((void *)lo, n, MADV_WILLNEED);
  }
}

fv_status fv_file_read(const char *path, size_t max_bytes, char **out, size_t *size, fv_error *err) {
  int fd;
  size_t n, have = 0;
  fv_status st = open_regular(path, &fd, &n, err);
  if (st) return st;
  if (n > max_bytes) {
    close(fd);
    return fv_fail(err, FV_EFORMAT, "%s: has %zu bytes, more than the %zu that such a file may have", path, n,
                   max_bytes);
  }
  char *text = malloc(n + 1);
  if (!text) {
    close(fd);
    return fv_fail(err, FV_ENOMEM, "%s: no memory for %zu bytes", path, n);
  }
  while (have < n) {
    ssize_t got = read(fd, text + have, n - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      int e = errno;
      close(fd);
      free(text);
      return fv_fail(err, FV_EIO, "%s: cannot read: %s", path, got < 0 ? strerror(e) : "the file became shorter");
    }
    have += (size_t)got;
  }
  close(fd);
  text[n] = '\0';
  *out = text;
  if (size) *size = n;
  return FV_OK;
}

bool fv_file_exists(const char *path) { return access(path, F_OK) == 0; }

char *fv_path_join(const char *dir, const char *name) {
  size_t n = strlen(dir);
  return fv_format("%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name);
}

struct fv_outfile {
  char *path, *temporary; /* temporary is NULL for standard output */
  FILE *stream;
  char *held; /* standard output only: what has not been passed on */
  size_t held_size, held_room;
  bool passing;
};

static void outfile_free(fv_outfile *f) {
  if (!f) return;
  free(f->path);
  free(f->temporary);
  free(f->held);
  free(f);
}

static bool pass_on(fv_outfile *f) {
  size_t n = f->held_size;
  f->held_size = 0;
  return n == 0 || fwrite(f->held, 1, n, stdout) == n;
}

/* What leaves the stream's own buffer: held while it is little, else passed on. 0: failed. */
static ssize_t to_stdout(void *user, const char *data, size_t n) {
  fv_outfile *f = user;
  if (!f->passing && n <= FV_OUTFILE_HELD - f->held_size) {
    if (!fv_grow(&f->held, &f->held_room, f->held_size + n, 1)) return 0;
    memcpy(f->held + f->held_size, data, n);
    f->held_size += n;
    return (ssize_t)n;
  }
  f->passing = true;
  return pass_on(f) ? (ssize_t)fwrite(data, 1, n, stdout) : 0;
}

fv_status fv_outfile_open(const char *path, fv_outfile **out, fv_error *err) {
  fv_outfile *f = fv_alloc(1, sizeof *f);
  if (!f || !(f->path = fv_strdup(path))) {
    outfile_free(f);
    return fv_fail(err, FV_ENOMEM, "%s: no memory", path);
  }
  if (strcmp(path, "-") == 0) {
    f->stream = fopencookie(f, "w", (cookie_io_functions_t){.write = to_stdout});
  } else {
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
      outfile_free(f);
      return fv_fail(err, FV_EIO, "%s: exists and is not a regular file", path);
    }
    f->temporary = fv_format("%s.tmp-XXXXXX", path);
    int fd = f->temporary ? mkstemp(f->temporary) : -1;
    if (fd >= 0) {
      mode_t mask = umask(0);
      umask(mask);
      (void)!fchmod(fd, 0666 & ~mask);
      f->stream = fdopen(fd, "w+b");
      if (!f->stream) close(fd), unlink(f->temporary);
    }
  }
  if (!f->stream) {
    fv_status s = fv_fail(err, FV_EIO, "%s: cannot write: %s", path, strerror(errno));
    outfile_free(f);
    return s;
  }
  *out = f;
  return FV_OK;
}

FILE *fv_outfile_stream(fv_outfile *file) { return file->stream; }
const char *fv_outfile_temporary(const fv_outfile *file) { return file->temporary; }

fv_status fv_outfile_commit(fv_outfile *f, fv_error *err) {
  bool bad = ferror(f->stream) != 0;
  errno = 0;
  bad |= fflush(f->stream) != 0;
  if (f->temporary) bad |= fsync(fileno(f->stream)) != 0;
  bad |= fclose(f->stream) != 0;
  f->stream = NULL;
  if (!bad && !f->temporary) bad = !pass_on(f) || fflush(stdout) != 0;
  if (!bad && f->temporary) bad = rename(f->temporary, f->path) != 0;
  fv_status st = FV_OK;
  if (bad) {
    st = fv_fail(err, FV_EIO, "%s: cannot write: %s", f->temporary ? f->path : "standard output",
                 errno ? strerror(errno) : "write error");
    if (f->temporary) unlink(f->temporary);
  }
  outfile_free(f);
  return st;
}

void fv_outfile_abort(fv_outfile *f) {
  if (!f) return;
  if (f->stream) fclose(f->stream);
  if (f->temporary) unlink(f->temporary);
  outfile_free(f);
}
