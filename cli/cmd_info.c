#include <stdlib.h>
#include <string.h>

#include "cli.h"

static fv_status sites(cli_session *s) {
  char aliases[1024];
  fv_json_out j = {.stream = s->out};
  if (s->args->json) fv_json_out_begin(&j, NULL, '{'), fv_json_out_begin(&j, "sites", '[');
  for (size_t i = 0; i < fv_model_sites(s->model); i++) {
    fv_site_info site;
    fv_status st = fv_model_site(s->model, i, &site, aliases, sizeof aliases, &s->err);
    if (st) return st;
    if (!s->args->json) {
      fprintf(s->out, "%-34s %-18s %s\n", site.address, site.shape, aliases);
      continue;
    }
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_text(&j, "address", site.address);
    fv_json_out_text(&j, "shape", site.shape);
    fv_json_out_text(&j, "aliases", aliases);
    fv_json_out_end(&j, '}');
  }
  if (s->args->json) fv_json_out_end(&j, ']'), fv_json_out_end(&j, '}');
  return FV_OK;
}

static void shape_text(const fv_tensor_info *t, char *out, size_t n) {
  size_t used = (size_t)snprintf(out, n, "[");
  for (int i = 0; i < t->rank && used < n; i++)
    used += (size_t)snprintf(out + used, n - used, "%s%lld", i ? "," : "", (long long)t->shape[i]);
  if (used < n) snprintf(out + used, n - used, "]");
}

static fv_status tensors(cli_session *s) {
  fv_json_out j = {.stream = s->out};
  if (s->args->json) fv_json_out_begin(&j, NULL, '{'), fv_json_out_begin(&j, "tensors", '[');
  for (size_t i = 0; i < fv_model_tensors(s->model); i++) {
    fv_tensor_info t = fv_model_tensor(s->model, i);
    char shape[160];
    shape_text(&t, shape, sizeof shape);
    if (!s->args->json) {
      fprintf(s->out, "%-72s %-5s %-16s%s\n", t.name, t.dtype, shape,
              t.used       ? ""
              : t.harmless ? " (a buffer)"
                           : " not used");
      continue;
    }
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_text(&j, "name", t.name);
    fv_json_out_text(&j, "dtype", t.dtype);
    fv_json_out_begin(&j, "shape", '[');
    for (int d = 0; d < t.rank; d++) fv_json_out_int(&j, NULL, t.shape[d]);
    fv_json_out_end(&j, ']');
    fv_json_out_bool(&j, "used", t.used);
    fv_json_out_end(&j, '}');
  }
  if (s->args->json) fv_json_out_end(&j, ']'), fv_json_out_end(&j, '}');
  return FV_OK;
}

/* The steps of one plain run of this input. */
static fv_status plan(cli_session *s) {
  fv_input *in = NULL;
  fv_wave *w = NULL;
  char *text = NULL;
  int run;
  fv_status st = session_check_input(s);
  if (st) return fv_fail_prefix(&s->err, st, "--plan depends on the rows of one input");
  st = session_input(s, s->args->image, s->args->question, s->args->prompt, &in);
  if (!st) st = fv_wave_new(s->model, NULL, &w, &s->err);
  if (!st) st = fv_wave_run(w, -1, in, &run, &s->err);
  if (!st) st = fv_wave_readout(w, run, NULL, NULL, &s->err);
  if (!st) st = fv_wave_explain(w, &text, &s->err);
  if (!st) fputs(text, s->out);
  free(text);
  fv_wave_free(w);
  fv_input_free(in);
  return st;
}

static void stack_text(FILE *out, const fv_stack_info *k) {
  fprintf(out, "  %-13s", k->name);
  if (k->layers)
    fprintf(out, " %lld layers, width %lld, %lld heads x %lld, mlp %lld", (long long)k->layers, (long long)k->width,
            (long long)k->heads, (long long)k->head_width, (long long)k->mlp_width);
  if (k->layers && k->rows) fprintf(out, ", %lld rows", (long long)k->rows);
  if (k->layers && !k->rows) fprintf(out, ", up to %lld rows", (long long)k->max_rows);
  if (!k->layers && k->vocabulary) fprintf(out, " %lld logits", (long long)k->vocabulary);
  if (!k->layers && !k->vocabulary && k->mlp_width)
    fprintf(out, " %lld rows, width %lld, mlp %lld", (long long)k->rows, (long long)k->width, (long long)k->mlp_width);
  if (!k->layers && !k->vocabulary && !k->mlp_width) fprintf(out, " width %lld", (long long)k->width);
  fputc('\n', out);
}

static fv_status summary(cli_session *s) {
  const fv_model *m = s->model;
  char hash[65], size[32];
  int64_t parameters = 0;
  for (size_t i = 0; i < fv_model_tensors(m); i++) {
    fv_tensor_info t = fv_model_tensor(m, i);
    int64_t n = 1;
    for (int d = 0; d < t.rank; d++) n *= t.shape[d];
    if (t.used) parameters += n;
  }
  fv_status st = fv_model_sha256(m, hash, &s->err);
  if (st) return st;
  if (s->args->json) {
    fv_json_out j = {.stream = s->out};
    fv_json_out_begin(&j, NULL, '{');
    fv_json_out_text(&j, "family", fv_model_family(m));
    fv_json_out_text(&j, "path", fv_model_path(m));
    fv_json_out_text(&j, "sha256", hash);
    fv_json_out_int(&j, "parameters", parameters);
    fv_json_out_begin(&j, "stacks", '[');
    for (int i = 0; i < fv_model_stacks(m); i++) {
      fv_stack_info k = fv_model_stack(m, i);
      fv_json_out_begin(&j, NULL, '{');
      fv_json_out_text(&j, "name", k.name);
      fv_json_out_int(&j, "layers", k.layers);
      fv_json_out_int(&j, "width", k.width);
      fv_json_out_int(&j, "heads", k.heads);
      fv_json_out_int(&j, "kv_heads", k.kv_heads);
      fv_json_out_int(&j, "head_width", k.head_width);
      fv_json_out_int(&j, "mlp_width", k.mlp_width);
      fv_json_out_int(&j, "vocabulary", k.vocabulary);
      fv_json_out_int(&j, "rows", k.rows);
      fv_json_out_int(&j, "max_rows", k.max_rows);
      fv_json_out_end(&j, '}');
    }
    fv_json_out_end(&j, ']');
    fv_json_out_int(&j, "tensors", (int64_t)fv_model_tensors(m));
    fv_json_out_int(&j, "unused_tensors", (int64_t)fv_model_unused(m));
    fv_json_out_text(&j, "tokenizer", fv_model_tokenizer_kind(m));
    fv_json_out_int(&j, "vocabulary", fv_model_vocabulary(m));
    fv_json_out_int(&j, "image_size", fv_model_image_size(m));
    fv_json_out_int(&j, "patch_size", fv_model_patch_size(m));
    fv_json_out_text(&j, "preprocessing", fv_model_preprocessing(m));
    fv_json_out_text(&j, "engine", fv_model_engine(m));
    fv_json_out_int(&j, "threads", fv_model_threads(m));
    fv_json_out_end(&j, '}');
    return FV_OK;
  }
  if (parameters >= 1000000)
    snprintf(size, sizeof size, "%.1f million", (double)parameters / 1e6);
  else
    snprintf(size, sizeof size, "%lld", (long long)parameters);
  fprintf(s->out, "family        %s\npath          %s\nsha256        %s\nparameters    %s in %zu tensors",
          fv_model_family(m), fv_model_path(m), hash, size, fv_model_tensors(m));
  if (fv_model_unused(m)) fprintf(s->out, ", of which %zu not used", fv_model_unused(m));
  fputs("\nstacks\n", s->out);
  for (int i = 0; i < fv_model_stacks(m); i++) {
    fv_stack_info k = fv_model_stack(m, i);
    stack_text(s->out, &k);
  }
  if (fv_model_vocabulary(m))
    fprintf(s->out, "tokenizer     %s, %lld pieces\n", fv_model_tokenizer_kind(m), (long long)fv_model_vocabulary(m));
  if (fv_model_classes(m)) fprintf(s->out, "answer        one of %lld classes\n", (long long)fv_model_classes(m));
  if (fv_model_several_texts(m)) fputs("answer        one of the texts that are given\n", s->out);
  if (fv_model_image_size(m)) {
    int64_t side = fv_model_image_size(m), patch = fv_model_patch_size(m);
    fprintf(s->out, "picture       %lldx%lld, patches of %lld: %lld x %lld\n", (long long)side, (long long)side,
            (long long)patch, (long long)(side / patch), (long long)(side / patch));
    fprintf(s->out, "preprocessing %s\n", fv_model_preprocessing(m));
  }
  fprintf(s->out, "engine        %s, %d threads\n", fv_model_engine(m), fv_model_threads(m));
  for (size_t i = 0; i < fv_model_tensors(m); i++) {
    fv_tensor_info t = fv_model_tensor(m, i);
    if (!t.used && !t.harmless) fprintf(s->out, "not used      %s\n", t.name);
  }
  return FV_OK;
}

static fv_status run(cli_session *s) {
  if (s->args->sites + s->args->plan + s->args->tensors > 1)
    return fv_fail(&s->err, FV_EUSAGE, "--sites, --plan and --tensors exclude each other");
  if (!s->args->plan && (s->args->image || s->args->question || s->args->prompt || s->args->exif))
    return fv_fail(&s->err, FV_EUSAGE, "--image, --question and --prompt belong to --plan");
  if (s->args->plan && s->args->json) return fv_fail(&s->err, FV_EUSAGE, "--plan is text; it has no --json");
  return s->args->sites ? sites(s) : s->args->plan ? plan(s) : s->args->tensors ? tensors(s) : summary(s);
}

const cli_command command_info = {.name = "info",
                                  .summary = "family, stacks, sizes, tokenizer, preprocessing; every address",
                                  .details =
                                      "Says what a model folder holds. --sites lists the addresses that can be read "
                                      "and written, --plan the steps that\n"
                                      "one run of --image and --question takes, --tensors the checkpoint's tensors.",
                                  .takes_model = true,
                                  .options = "sites plan tensors image question prompt exif pillow json threads",
                                  .run = run};
