/* The lock of the one writer: FILE-lock, locked as a whole for as long as the store is open.
 *
 * The kernel gives it back when the process ends, however it ends. It lies beside the database because closing any
 * other descriptor of the database itself would drop SQLite's own locks. The file holds the writer's process and
 * machine for the message, and is removed at the end; whoever then locks a removed file starts over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "study/store_inside.h"

static fv_status taken(const fv_store *s, int fd, fv_error *err) {
  char who[160];
  ssize_t n = pread(fd, who, sizeof who - 1, 0);
  who[n > 0 ? n : 0] = '\0';
  who[strcspn(who, "\n")] = '\0';
  return fv_fail(err, FV_EIO, "%s: another process is writing to it%s%s; wait for it, or name another database",
                 s->path, who[0] ? ": " : "", who);
}

static fv_status try_lock(fv_store *s, const char *path, bool *again, fv_error *err) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  struct stat held, named;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0)
    return fv_fail(err, FV_EIO, "%s: cannot be written: %s: %s%s", s->path, path, strerror(errno),
                   errno == EROFS || errno == EACCES ? "; name a database elsewhere" : "");
  if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
    fv_status st = errno == EAGAIN || errno == EACCES
                       ? taken(s, fd, err)
                       : fv_fail(err, FV_EIO, "%s: cannot be locked: %s", path, strerror(errno));
    close(fd);
    return st;
  }
  *again = fstat(fd, &held) != 0 || stat(path, &named) != 0 || held.st_ino != named.st_ino;
  if (*again) return close(fd), FV_OK;
  s->lock = fd;
  return FV_OK;
}

fv_status fv_store_lock(fv_store *s, fv_error *err) {
  char host[64] = "", who[128];
  bool again = true;
  char *path = fv_format("%s-lock", s->path);
  if (!path) return fv_fail(err, FV_ENOMEM, "no memory");
  fv_status st = FV_OK;
  while (again && !st) again = false, st = try_lock(s, path, &again, err);
  if (st) return free(path), st;
  s->lock_path = path;
  (void)gethostname(host, sizeof host - 1);
  int n = snprintf(who, sizeof who, "process %ld on %s\n", (long)getpid(), host);
  /* On a full disk the message is poorer; the lock holds. */
  if (ftruncate(s->lock, 0) == 0 && pwrite(s->lock, who, (size_t)n, 0) != n) (void)!ftruncate(s->lock, 0);
  return FV_OK;
}

void fv_store_unlock(fv_store *s) {
  if (s->lock_path) unlink(s->lock_path);
  if (s->lock >= 0) close(s->lock);
  free(s->lock_path);
  s->lock_path = NULL, s->lock = -1;
}
