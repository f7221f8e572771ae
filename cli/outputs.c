/* Outputs: the files of one run appear together, when all else has succeeded, or not at all.
 *
 * Every output is written under another name in its own folder, with the same extension; outputs_publish renames them
 * when the run is over and standard output has taken its part. An output may be neither another output nor a file that
 * the run reads, however the two are spelled. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

struct cli_output {
  char *path, *staged;
  bool folder, partial;
};

/* The folder of a path, "." when it has none. */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

static const char *name_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* The same file, or the same place for one that does not exist yet. */
static bool same_place(const char *a, const char *b) {
  struct stat x, y;
  bool have_a = stat(a, &x) == 0, have_b = stat(b, &y) == 0;
  if (have_a && have_b) return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
  if (have_a || have_b || strcmp(name_of(a), name_of(b)) != 0) return false;
  char *p = folder_of(a), *q = folder_of(b);
  bool same = p && q && stat(p, &x) == 0 && stat(q, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
  free(p), free(q);
  return same;
}

fv_status output_check_input(cli_session *s, const char *input) {
  for (size_t i = 0; input && i < s->noutputs; i++)
    if (same_place(s->outputs[i].path, input))
      return fv_fail(&s->err, FV_EUSAGE, "%s: an output cannot be a file that the run reads; give it another name",
                     s->outputs[i].path);
  return FV_OK;
}

/* The FILE of an edit or a corruption: what stands behind its first words, with or without :KEY. */
static fv_status check_edit(cli_session *s, const char *edit) {
  for (const char *at = strpbrk(edit, " :"); at; at = strpbrk(at + 1, " :")) {
    char *file = strdup(at + 1);
    if (!file) return fv_fail(&s->err, FV_ENOMEM, "no memory");
    fv_status st = output_check_input(s, file);
    for (char *end = strpbrk(file, " :"); end && !st; end = strpbrk(end + 1, " :")) {
      char old = *end;
      *end = '\0';
      if (*file) st = output_check_input(s, file);
      *end = old;
    }
    free(file);
    if (st) return st;
  }
  return FV_OK;
}

static fv_status check_model(cli_session *s) {
  static const char *const names[] = {"config.json",     "generation_config.json", "preprocessor_config.json",
                                      "vocab.txt",       "tokenizer.json",         "tokenizer_config.json",
                                      "tokenizer.model", "special_tokens_map.json"};
  char path[sizeof s->path + 64];
  fv_status st = FV_OK;
  for (size_t i = 0; i < sizeof names / sizeof *names && !st; i++) {
    snprintf(path, sizeof path, "%s/%s", s->path, names[i]);
    st = output_check_input(s, path);
  }
  const char *last = "";
  for (size_t i = 0; i < fv_model_tensors(s->model) && !st; i++) {
    const char *file = fv_model_tensor(s->model, i).file;
    if (strcmp(file, last) != 0) st = output_check_input(s, file);
    last = file;
  }
  return st;
}

/* Everything that the options name as read. */
static fv_status check_inputs(cli_session *s) {
  const cli_args *a = s->args;
  const char *files[] = {a->from_image, a->samples, a->minus, a->table, a->corrected_prompts};
  fv_status st = FV_OK;
  for (size_t i = 0; i < a->pictures.count && !st; i++) st = output_check_input(s, a->pictures.items[i]);
  for (size_t i = 0; i < a->corrupt_images.count && !st; i++) st = output_check_input(s, a->corrupt_images.items[i]);
  for (size_t i = 0; i < sizeof files / sizeof *files && !st; i++) st = output_check_input(s, files[i]);
  for (size_t i = 0; i < a->do_.count && !st; i++) st = check_edit(s, a->do_.items[i]);
  for (size_t i = 0; i < a->corrupt.count && !st; i++) st = check_edit(s, a->corrupt.items[i]);
  return st || !s->model ? st : check_model(s);
}

/* Enters an output in the list: it may be neither another one nor something that the run reads. */
static fv_status claim(cli_session *s, const char *path, cli_output **out) {
  for (size_t i = 0; i < s->noutputs; i++)
    if (same_place(path, s->outputs[i].path))
      return fv_fail(&s->err, FV_EUSAGE, "%s: two outputs cannot share a file", path);
  cli_output *grown = realloc(s->outputs, (s->noutputs + 1) * sizeof *grown);
  if (!grown) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  s->outputs = grown;
  cli_output *o = &s->outputs[s->noutputs];
  *o = (cli_output){.path = strdup(path)};
  if (!o->path) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  s->noutputs++;
  *out = o;
  return check_inputs(s);
}

/* mkstemp and mkdtemp let only their owner in; results are for whom the umask admits. */
static void admit(const char *path, mode_t mode) {
  mode_t mask = umask(0);
  umask(mask);
  (void)!chmod(path, mode & ~mask);
}

fv_status output_stage(cli_session *s, const char *option, const char *path, const char **staged) {
  struct stat old;
  cli_output *o;
  *staged = NULL;
  if (!path) return FV_OK;
  if (strcmp(path, "-") == 0)
    return fv_fail(&s->err, FV_EUSAGE, "--%s -: only --csv and --json can be standard output; name a file", option);
  if (!*path) return fv_fail(&s->err, FV_EUSAGE, "--%s needs the name of a file", option);
  if (stat(path, &old) == 0 && !S_ISREG(old.st_mode))
    return fv_fail(&s->err, FV_EIO, "%s: exists and is not a regular file; outputs are files", path);
  fv_status st = claim(s, path, &o);
  if (st) return st;
  const char *dot = strrchr(name_of(path), '.');
  size_t room = strlen(path) + 64;
  char *name = malloc(room);
  if (!name) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  snprintf(name, room, "%s.part-XXXXXX%s", path, dot ? dot : "");
  int fd = mkstemps(name, dot ? (int)strlen(dot) : 0);
  if (fd < 0) {
    free(name);
    return fv_fail(&s->err, FV_EIO, "%s: cannot write: %s", path, strerror(errno));
  }
  close(fd);
  admit(name, 0666);
  o->staged = name;
  *staged = name;
  return FV_OK;
}

/* Removes what a failed run left in its folder, which holds files only. */
static void remove_folder(const char *path) {
  DIR *dir = opendir(path);
  for (struct dirent *e; dir && (e = readdir(dir));) {
    size_t room = strlen(path) + strlen(e->d_name) + 2;
    char *file = malloc(room);
    if (file) snprintf(file, room, "%s/%s", path, e->d_name), unlink(file);
    free(file);
  }
  if (dir) closedir(dir);
  rmdir(path);
}

static bool is_empty(const char *path) {
  DIR *dir = opendir(path);
  int n = 0;
  while (dir && n < 3 && readdir(dir)) n++;
  if (dir) closedir(dir);
  return dir && n <= 2;
}

fv_status output_stage_folder(cli_session *s, const char *option, const char *path, const char **staged) {
  struct stat old;
  cli_output *o;
  *staged = NULL;
  if (!path) return FV_OK;
  if (strcmp(path, "-") == 0)
    return fv_fail(&s->err, FV_EUSAGE, "--%s -: a folder cannot be standard output; name one", option);
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  if (n == 0) return fv_fail(&s->err, FV_EUSAGE, "--%s needs the name of a folder", option);
  if (stat(path, &old) == 0 && (!S_ISDIR(old.st_mode) || !is_empty(path)))
    return fv_fail(&s->err, FV_EIO, "%s: exists and is not an empty folder; --%s wants a new one", path, option);
  fv_status st = claim(s, path, &o);
  if (st) return st;
  char *name = malloc(n + 16);
  if (!name) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  snprintf(name, n + 16, "%.*s.part-XXXXXX", (int)n, path);
  if (!mkdtemp(name)) {
    free(name);
    return fv_fail(&s->err, FV_EIO, "%s: cannot write: %s", path, strerror(errno));
  }
  admit(name, 0777);
  o->staged = name, o->folder = true;
  *staged = name;
  return FV_OK;
}

fv_status output_partial(cli_session *s, const char *path) {
  cli_output *o;
  fv_status st = claim(s, path, &o);
  if (!st) o->partial = true;
  return st;
}

fv_status outputs_publish(cli_session *s) {
  for (size_t i = 0; i < s->noutputs; i++) {
    cli_output *o = &s->outputs[i];
    if (!o->staged) continue;
    if (rename(o->staged, o->path) != 0)
      return fv_fail(&s->err, FV_EIO, "%s: cannot write: %s", o->path, strerror(errno));
    free(o->staged), o->staged = NULL;
  }
  for (size_t i = 0; i < s->noutputs; i++)
    if (s->outputs[i].partial) unlink(s->outputs[i].path);
  return FV_OK;
}

/* Errors name the file as it was typed. */
static void restore_name(fv_error *err, const char *staged, const char *path) {
  char text[sizeof err->text], *at = strstr(err->text, staged);
  if (!at) return;
  int n = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - err->text), err->text, path, at + strlen(staged));
  if (n > 0) memcpy(err->text, text, sizeof text);
}

void outputs_release(cli_session *s) {
  for (size_t i = 0; i < s->noutputs; i++) {
    cli_output *o = &s->outputs[i];
    if (o->staged)
      (o->folder ? remove_folder(o->staged) : (void)unlink(o->staged)), restore_name(&s->err, o->staged, o->path);
    free(o->staged), free(o->path);
  }
  free(s->outputs);
  s->outputs = NULL, s->noutputs = 0;
}
