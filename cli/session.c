/* Sessions: finding and opening the model, inputs, progress, interrupts. */
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number) {
  (void)signal_number;
  interrupted = 1;
}

void session_catch_interrupts(void) {
  /* Reads are not restarted, so that waiting for standard input ends; a second signal ends the program at once. */
  struct sigaction stop = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
  sigemptyset(&stop.sa_mask);
  sigaction(SIGINT, &stop, NULL);
  sigaction(SIGTERM, &stop, NULL);
  signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error with its own sentence */
}

bool session_interrupted(void) { return interrupted != 0; }

static bool is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A folder's name is taken, but only a checkpoint is a model. */
static fv_status check_model(cli_session *s) {
  char config[sizeof s->path + 16];
  snprintf(config, sizeof config, "%s/config.json", s->path);
  if (access(config, F_OK) == 0) return FV_OK;
  return fv_fail(
      &s->err, FV_ENOTFOUND,
      "%s: the folder has no config.json; expected a Hugging Face checkpoint: config.json, weights, tokenizer",
      s->path);
}

/* A folder as it is given, or a name under $FOVEA_MODELS or among the installed models. */
static fv_status find_model(cli_session *s) {
  const char *name = s->args->model, *places[] = {getenv("FOVEA_MODELS"), FV_MODELS_INSTALLED, FV_MODELS_SOURCE};
  if (strlen(name) + 64 > sizeof s->path) return fv_fail(&s->err, FV_EUSAGE, "the model's path is too long");
  if (is_folder(name)) return snprintf(s->path, sizeof s->path, "%s", name), check_model(s);
  for (size_t i = 0; i < sizeof places / sizeof *places && !strchr(name, '/'); i++) {
    if (!places[i]) continue;
    snprintf(s->path, sizeof s->path, "%s/%s", places[i], name);
    if (is_folder(s->path)) return check_model(s);
  }
  if (access(name, F_OK) == 0)
    return fv_fail(&s->err, FV_ENOTFOUND, "%s: is a file; expected the checkpoint's folder", name);
  return fv_fail(&s->err, FV_ENOTFOUND,
                 "%s: no such model folder, and no model of that name under $FOVEA_MODELS or among the installed ones",
                 name);
}

/* Bytes that are free now. */
size_t session_free_memory(void) {
  FILE *f = fopen("/proc/meminfo", "r");
  char line[256];
  unsigned long long kib = 0;
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
  if (f) fclose(f);
  return kib ? (size_t)kib << 10 : (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

fv_status session_open(cli_session *s, bool stream) {
  cli_args *a = (cli_args *)(uintptr_t)s->args;
  if (strcmp(a->compute, "f32") != 0)
    return fv_fail(&s->err, FV_EUNSUPPORTED, "--compute %s is not available in this build; float32 is", a->compute);
  if (a->threads > INT_MAX)
    return fv_fail(&s->err, FV_EUSAGE, "--threads %lld: that is too many", (long long)a->threads);
  if (a->memory == 0) a->memory = session_free_memory() / 4 * 3;
  fv_status st = find_model(s);
  fv_model_options o = {.threads = (int)a->threads, .memory = a->memory, .stream = stream};
  if (!st) st = fv_model_open(s->path, &o, &s->model, &s->err);
  if (st) return st;
  if ((a->prompts.count > 1 || a->from_prompts.count > 1) && !fv_model_several_texts(s->model))
    return fv_fail(&s->err, FV_EUSAGE, "%s is given twice; a %s model reads one text",
                   a->prompts.count > 1 ? "--prompt" : "--from-prompt", fv_model_family(s->model));
  if (a->pictures.count > 1 && !fv_model_several_pictures(s->model))
    return fv_fail(&s->err, FV_EUSAGE, "--image is given twice; a %s model reads one picture",
                   fv_model_family(s->model));
  size_t unused = fv_model_unused(s->model);
  if (unused > 0)
    for (size_t i = 0; i < fv_model_tensors(s->model); i++) {
      fv_tensor_info t = fv_model_tensor(s->model, i);
      if (t.used || t.harmless) continue;
      fprintf(stderr, "fovea: %s: tensor %s is not used by a %s model%s\n", t.file, t.name, fv_model_family(s->model),
              unused > 1 ? "; nor are others, which `fovea info` lists" : "");
      break;
    }
  return FV_OK;
}

/* Addresses end where selectors or further words begin. */
void session_note_alias(const cli_session *s, const char *address) {
  char head[256], name[256];
  const char *tool;
  size_t n = strcspn(address, "#@: ");
  if (n >= sizeof head) return;
  memcpy(head, address, n), head[n] = '\0';
  if (fv_address_canonical(s->model, head, name, sizeof name, &tool, NULL) == FV_OK && tool)
    fprintf(stderr, "fovea: %s is %s (%s)\n", head, name, tool);
}

void session_note_aliases(const cli_session *s) {
  const cli_args *a = s->args;
  for (size_t i = 0; i < a->do_.count; i++) {
    const char *at = a->do_.items[i] + strcspn(a->do_.items[i], " "), *from = strstr(at, " from ");
    session_note_alias(s, at + strspn(at, " "));
    if (from) session_note_alias(s, from + 6 + strspn(from + 6, " "));
  }
  for (size_t i = 0; i < a->read.count; i++) session_note_alias(s, a->read.items[i]);
  for (size_t i = 0; i < a->restore.count; i++) session_note_alias(s, a->restore.items[i]);
  for (size_t i = 0; i < a->site.count; i++) session_note_alias(s, a->site.items[i]);
  for (size_t i = 0; i < a->corrupt.count; i++) {
    const char *at = strchr(a->corrupt.items[i], '@');
    if (at) session_note_alias(s, at + 1);
  }
}

fv_status session_check_input(cli_session *s) {
  const cli_args *a = s->args;
  if (!fv_model_answer_stack(s->model))
    return fv_fail(&s->err, FV_EUSAGE, "a %s model gives no answer; `fovea edit --read` saves its states",
                   fv_model_family(s->model));
  if (fv_model_picture_stack(s->model) && !a->image)
    return fv_fail(&s->err, FV_EUSAGE, "a picture is missing: --image FILE");
  if (!fv_model_text_optional(s->model) && !a->question && !a->prompt)
    return fv_fail(&s->err, FV_EUSAGE, "a question is missing: --question TEXT");
  return FV_OK;
}

void session_input_options(const cli_session *s, fv_input_options *o) {
  const cli_args *a = s->args;
  fv_input_defaults(o);
  o->exif = a->exif;
  o->pillow = strcmp(a->pillow, "12") == 0     ? FV_PILLOW_12
              : strcmp(a->pillow, "12.2") == 0 ? FV_PILLOW_12_2
                                               : FV_PILLOW_13;
  o->image = a->image, o->question = a->question, o->prompt = a->prompt;
  if (a->pictures.count > 1) o->image = NULL, o->images = a->pictures.items, o->nimages = a->pictures.count;
  if (a->prompts.count > 1) o->prompt = NULL, o->prompts = a->prompts.items, o->nprompts = a->prompts.count;
}

fv_status session_input(cli_session *s, const char *image, const char *question, const char *prompt, fv_input **out) {
  fv_input_options o;
  session_input_options(s, &o);
  o.image = image, o.question = question, o.prompt = prompt, o.prompts = NULL, o.nprompts = 0;
  o.images = NULL, o.nimages = 0;
  /* The first of several stands for all of them. */
  const cli_list *lists[] = {&s->args->prompts, &s->args->from_prompts};
  for (int i = 0; i < 2; i++)
    if (lists[i]->count > 1 && prompt == lists[i]->items[0])
      o.prompt = NULL, o.prompts = lists[i]->items, o.nprompts = lists[i]->count;
  const cli_list *pictures = &s->args->pictures;
  if (pictures->count > 1 && image == pictures->items[0])
    o.image = NULL, o.images = pictures->items, o.nimages = pictures->count;
  return fv_input_new(s->model, &o, out, &s->err);
}

bool session_excludes(fv_status st) {
  return st == FV_EFORMAT || st == FV_ESHAPE || st == FV_EIO || st == FV_ENOTFOUND || st == FV_EUNSUPPORTED;
}

double session_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool draw_progress(void *user, double done) {
  cli_progress *p = user;
  double t = session_seconds();
  if (p->terminal && t - p->started > 0.5 && t - p->drawn > 0.2) {
    char line[160];
    fv_progress_format(line, sizeof line, done * p->total, p->total, t - p->started, p->what);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    p->drawn = t, p->shown = true;
  }
  return !session_interrupted();
}

const fv_progress *progress_start(cli_progress *p, const char *what, double total) {
  *p = (cli_progress){.progress = {draw_progress, p},
                      .what = what,
                      .total = total,
                      .started = session_seconds(),
                      .terminal = isatty(STDERR_FILENO)};
  return &p->progress;
}

void progress_stop(cli_progress *p) {
  if (p->shown) fputs("\r\033[K", stderr);
  p->shown = false;
}

void print_weights(cli_session *s, const fv_cost *c) {
  if (c->streamed == 0)
    fprintf(s->out, "weights       %.1f MiB packed\n", (double)c->weights / 1048576.0);
  else if (fv_model_weight_bytes(s->model) > s->args->memory / 4 * 3)
    fprintf(s->out,
            "weights       %.1f MiB read from the files; packed they would take %.1f MiB, of %.1f MiB allowed\n",
            (double)c->streamed / 1048576.0, (double)fv_model_weight_bytes(s->model) / 1048576.0,
            (double)s->args->memory / 1048576.0);
  else
    fprintf(s->out, "weights       %.1f MiB read from the files as they are used\n", (double)c->streamed / 1048576.0);
}

void print_cost(cli_session *s, const fv_cost *c) {
  fv_machine machine;
  double seconds = fv_machine_measure(s->model, 0.0, &machine, &s->err) ? NAN : fv_machine_predict(&machine, c);
  if (s->args->json) {
    fv_json_out j = {.stream = s->out};
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_int(&j, "runs", c->runs);
    fv_json_out_int(&j, "passes", c->parts);
    fv_json_out_int(&j, "rows", c->rows);
    fv_json_out_num(&j, "flops", c->flops);
    fv_json_out_num(&j, "full_flops", c->full_flops);
    fv_json_out_int(&j, "memory", (int64_t)c->memory);
    fv_json_out_int(&j, "weights", (int64_t)c->weights);
    fv_json_out_int(&j, "streamed", (int64_t)c->streamed);
    fv_json_out_num(&j, "seconds", seconds);
    fv_json_out_end(&j, '}');
    return;
  }
  fprintf(s->out, "runs          %lld in %lld pass%s\n", (long long)c->runs, (long long)c->parts,
          c->parts == 1 ? "" : "es");
  fprintf(s->out, "rows          %lld\n", (long long)c->rows);
  fprintf(s->out, "operations    %.4g Gflop (every run alone: %.4g, %.1f times as many)\n", c->flops / 1e9,
          c->full_flops / 1e9, c->full_flops / c->flops);
  fprintf(s->out, "activations   %.1f MiB at most\n", (double)c->memory / 1048576.0);
  print_weights(s, c);
  fprintf(s->out, "time          %.2g s predicted (%.0f Gflop/s measured)\n", seconds, machine.matmul / 1e9);
}
