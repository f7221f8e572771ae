#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static fv_status line_error(cli_session *s, long line, const char *why) {
  return fv_fail(&s->err, FV_EFORMAT, "%s: line %ld %s",
                 strcmp(s->args->jsonl, "-") == 0 ? "standard input" : s->args->jsonl, line, why);
}

static fv_status encode_line(cli_session *s, const json_t *value, long line) {
  if (!json_is_string(value)) return line_error(s, line, "is not a JSON string");
  int32_t *ids;
  size_t n;
  fv_status st = fv_model_encode(s->model, json_string_value(value), json_string_length(value), &ids, &n, &s->err);
  if (st) return fv_fail_prefix(&s->err, st, "line %ld", line);
  putchar('[');
  for (size_t i = 0; i < n; i++) printf("%s%d", i ? "," : "", ids[i]);
  puts("]");
  free(ids);
  return FV_OK;
}

static fv_status decode_line(cli_session *s, const json_t *value, long line) {
  if (!json_is_array(value)) return line_error(s, line, "is not a JSON array of ids");
  size_t n = json_array_size(value), length;
  int32_t *ids = calloc(n ? n : 1, sizeof *ids);
  if (!ids) return fv_fail(&s->err, FV_ENOMEM, "no memory");
  fv_status st = FV_OK;
  for (size_t i = 0; i < n && !st; i++) {
    const json_t *id = json_array_get(value, i);
    json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
    if (v < 0 || v > INT32_MAX) st = line_error(s, line, "holds something else than ids");
    ids[i] = (int32_t)v;
  }
  char *text = NULL;
  if (!st) st = fv_model_decode(s->model, ids, n, !s->args->keep_special, &text, &length, &s->err);
  json_t *out = st ? NULL : json_stringn(text, length);
  char *line_text = out ? json_dumps(out, JSON_ENCODE_ANY) : NULL;
  if (!st && !line_text) st = fv_fail(&s->err, FV_ENOMEM, "no memory");
  if (!st) puts(line_text);
  free(line_text);
  json_decref(out);
  free(text);
  free(ids);
  return st;
}

/* O_NONBLOCK: a FIFO is refused instead of waited for. */
static fv_status open_lines(cli_session *s, FILE **out) {
  struct stat st;
  const char *path = s->args->jsonl;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fv_fail(&s->err, FV_EIO, "%s: cannot open: %s", path, strerror(errno));
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !(*out = fdopen(fd, "r"))) {
    close(fd);
    return fv_fail(&s->err, FV_EIO, "%s: is not a regular file; --jsonl - reads standard input", path);
  }
  return FV_OK;
}

/* Lines are written as they are finished, so that a bad line loses nothing before it. */
static fv_status lines(cli_session *s) {
  FILE *f = stdin;
  bool standard = strcmp(s->args->jsonl, "-") == 0;
  fv_status st = standard ? FV_OK : open_lines(s, &f);
  if (st) return st;
  char *line = NULL;
  size_t room = 0;
  ssize_t n;
  for (long number = 1; !st && (n = getline(&line, &room, f)) >= 0; number++) {
    json_error_t detail;
    if (session_interrupted()) st = fv_fail(&s->err, FV_ECANCELLED, "stopped on request");
    json_t *value = st ? NULL : json_loadb(line, (size_t)n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &detail);
    if (!st && !value) st = line_error(s, number, "is not JSON");
    if (!st) st = s->args->decode ? decode_line(s, value, number) : encode_line(s, value, number);
    json_decref(value);
    if (!st && ferror(stdout)) break;
  }
  if (!st && session_interrupted()) st = fv_fail(&s->err, FV_ECANCELLED, "stopped on request");
  if (!st && ferror(f)) st = fv_fail(&s->err, FV_EIO, "%s: cannot read: %s", s->args->jsonl, strerror(errno));
  free(line);
  if (!standard) fclose(f);
  if ((fflush(stdout) != 0 || ferror(stdout)) && !st) st = fv_fail(&s->err, FV_EIO, "cannot write to standard output");
  return st;
}

static void print_row(const char *stack, const fv_row_info *row, FILE *out) {
  char id[16] = "";
  if (row->id >= 0) snprintf(id, sizeof id, "%d", row->id);
  fprintf(out, "%-13s %5lld %8s  %-16s %s\n", stack, (long long)row->row, id, row->piece, row->name);
}

static void json_span(fv_json_out *j, int64_t first, int64_t last) {
  fv_json_out_begin(j, "rows", '[');
  fv_json_out_int(j, NULL, first);
  fv_json_out_int(j, NULL, last);
  fv_json_out_end(j, ']');
}

/* The first and the last patch row of a picture. */
static void picture_rows(const fv_input *in, const char *stack, int64_t picture, int64_t *first, int64_t *last) {
  fv_row_info row;
  *first = -1;
  for (int64_t i = 0; i < fv_input_rows(in, stack); i++)
    if (!fv_input_row(in, stack, i, &row, NULL) && row.picture == picture && strncmp(row.name, "image", 5) == 0)
      *first = *first < 0 ? i : *first, *last = i;
}

/* "image" holds the grid and the first picture's rows in the last stack that has them: where the text is, for models
 * that splice. "images" holds those of several. */
static void json_grid(fv_json_out *j, const fv_input *in, const char *stack) {
  int64_t down, across, first, last = 0, n = fv_input_pictures(in);
  if (!fv_input_grid(in, &down, &across) || !stack) {
    fv_json_out_text(j, "image", NULL);
    return;
  }
  fv_json_out_begin(j, "image", '{');
  fv_json_out_begin(j, "grid", '[');
  fv_json_out_int(j, NULL, down);
  fv_json_out_int(j, NULL, across);
  fv_json_out_end(j, ']');
  picture_rows(in, stack, 0, &first, &last);
  json_span(j, first, last);
  fv_json_out_end(j, '}');
  if (n == 1) return;
  fv_json_out_begin(j, "images", '[');
  for (int64_t k = 0; k < n; k++) {
    fv_json_out_begin(j, NULL, '{');
    picture_rows(in, stack, k, &first, &last);
    json_span(j, first, last);
    fv_json_out_end(j, '}');
  }
  fv_json_out_end(j, ']');
}

static fv_status map(cli_session *s, const fv_input *in) {
  fv_json_out j = {.stream = s->out};
  const char *question = fv_model_question_stack(s->model), *picture = NULL;
  int64_t T = question ? fv_input_rows(in, question) : 0;
  fv_row_info row;
  if (s->args->json) {
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_begin(&j, "ids", '[');
    for (int64_t i = 0; i < T; i++)
      if (!fv_input_row(in, question, i, &row, NULL)) fv_json_out_int(&j, NULL, row.id);
    fv_json_out_end(&j, ']');
    fv_json_out_begin(&j, "rows", '[');
  } else {
    fprintf(s->out, "%-13s %5s %8s  %-16s %s\n", "stack", "row", "id", "piece", "name");
  }
  for (int k = 0; k < fv_model_stacks(s->model); k++) {
    fv_stack_info stack = fv_model_stack(s->model, k);
    if (!stack.layers) continue;
    int64_t n = fv_input_rows(in, stack.name);
    for (int64_t i = 0; i < n; i++) {
      fv_status st = fv_input_row(in, stack.name, i, &row, &s->err);
      if (st) return st;
      if (strncmp(row.name, "image", 5) == 0) picture = stack.name;
      if (!s->args->json) {
        print_row(stack.name, &row, s->out);
        continue;
      }
      fv_json_out_begin(&j, NULL, '{');
      fv_json_out_int(&j, "row", row.row);
      fv_json_out_text(&j, "stack", stack.name);
      if (row.id >= 0)
        fv_json_out_int(&j, "id", row.id);
      else
        fv_json_out_text(&j, "id", NULL);
      fv_json_out_text(&j, "piece", row.piece);
      fv_json_out_text(&j, "name", row.name);
      if (fv_input_texts(in) > 1 && row.id >= 0) fv_json_out_int(&j, "text", row.text);
      fv_json_out_end(&j, '}');
    }
  }
  if (!s->args->json) return FV_OK;
  fv_json_out_end(&j, ']');
  json_grid(&j, in, picture);
  fv_json_out_end(&j, '}');
  return FV_OK;
}

static fv_status run(cli_session *s) {
  const cli_args *a = s->args;
  if (a->jsonl && (a->image || a->question || a->prompt || a->json))
    return fv_fail(&s->err, FV_EUSAGE, "--jsonl stands alone");
  if ((a->decode && !a->jsonl) || (a->keep_special && !a->decode))
    return fv_fail(&s->err, FV_EUSAGE, "--decode needs --jsonl, and --keep-special needs --decode");
  if (a->jsonl) return lines(s);
  if (!a->image && !a->question && !a->prompt)
    return fv_fail(&s->err, FV_EUSAGE,
                   "something to tokenize is missing: --question TEXT, --image FILE or --jsonl FILE");
  fv_input *in = NULL;
  fv_status st = session_input(s, a->image, a->question, a->prompt, &in);
  if (!st) st = map(s, in);
  fv_input_free(in);
  return st;
}

const cli_command command_tokens = {
    .name = "tokens",
    .summary = "ids and pieces of a question, and what each row is",
    .details =
        "Prints the position map: every row of every stack, with its token and its name. --jsonl runs the tokenizer "
        "alone over\n"
        "many texts: special tokens as its post-processor adds them, no template, no truncation.",
    .takes_model = true,
    .options = "image question prompt exif pillow json jsonl decode keep-special threads",
    .run = run};
