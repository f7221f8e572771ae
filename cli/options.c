/* The options: one table, from which parsing, help and the man page come. */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef enum kind { FLAG, TEXT, LIST, INTEGER, REAL, PERCENT, SIZE, CHOICE } kind;

typedef struct option {
  const char *name;
  kind kind;
  size_t offset;
  const char *arg, *help;
  int64_t least;       /* INTEGER */
  const char *choices; /* CHOICE: words separated by | */
} option;

#define AT(field) offsetof(cli_args, field)
static const option options[] = {
    {"image", LIST, AT(pictures), "FILE",
     "the picture: JPEG, PNG, WebP or PNM; repeatable for a model whose prompt says where each one belongs", 0, NULL},
    {"question", TEXT, AT(question), "TEXT", "the question, put into the family's template", 0, NULL},
    {"prompt", LIST, AT(prompts), "TEXT",
     "the raw text instead of a question; repeatable for a model that chooses among texts", 0, NULL},
    {"from-image", TEXT, AT(from_image), "FILE",
     "the picture of the run that `replace` reads (default: the same picture)", 0, NULL},
    {"from-question", TEXT, AT(from_question), "TEXT",
     "the question of the run that `replace` reads (default: the same question)", 0, NULL},
    {"from-prompt", LIST, AT(from_prompts), "TEXT", "the raw text of the run that `replace` reads", 0, NULL},
    {"exif", FLAG, AT(exif), NULL, "apply the picture's EXIF orientation (transformers does not)", 0, NULL},
    {"pillow", CHOICE, AT(pillow), "VERSION", "resize as this version of Pillow does (default 13)", 0, "13|12.2|12"},
    {"json", FLAG, AT(json), NULL, "one JSON object on standard output instead of text", 0, NULL},
    {"csv", TEXT, AT(csv), "FILE", "write the long table, one line per run (- is standard output)", 0, NULL},
    {"npz", TEXT, AT(npz), "FILE", "write the scores as NumPy arrays under ROME's names", 0, NULL},
    {"plot", TEXT, AT(plot), "FILE", "draw the heat map: .png, .svg or .pdf", 0, NULL},
    {"html", TEXT, AT(html), "FILE", "write a self-contained page with the maps, the picture and the settings", 0,
     NULL},
    {"save", TEXT, AT(save), "FILE", "write what --read names as safetensors, float32", 0, NULL},
    {"out", TEXT, AT(out), "FILE", "where to write: the page, or the sample table (.csv or .jsonl)", 0, NULL},
    {"sweep", TEXT, AT(sweep), "NAME",
     "one of the study's sweeps (default: all; circuit, maps: the only one that fits)", 0, NULL},
    {"rome", TEXT, AT(rome), "DIR", "write one archive under ROME's names per sample, site and head", 0, NULL},
    {"notice", TEXT, AT(notice), "DIR", "write NOTICE's result lists as NumPy archives", 0, NULL},
    {"show", CHOICE, AT(show), "WHEN", "draw in the terminal: auto (default), always or never", 0, "auto|always|never"},
    {"seed", INTEGER, AT(seed), "N", "seed of the random stream (default 0)", INT64_MIN, NULL},
    {"rng", CHOICE, AT(rng), "STREAM", "torch (default) or numpy", 0, "torch|numpy"},
    {"threads", INTEGER, AT(threads), "N", "threads (default: all cores)", 1, NULL},
    {"memory", SIZE, AT(memory), "SIZE",
     "memory for weights and activations, as 800M or 2G; larger weights are streamed (default: three quarters of what "
     "is "
     "free)",
     0, NULL},
    {"compute", CHOICE, AT(compute), "TYPE", "arithmetic: f32", 0, "f32|bf16"},
    {"check", PERCENT, AT(check), "PERCENT", "recompute that share of the runs alone and compare the bits", 0, NULL},
    {"dry-run", FLAG, AT(dry_run), NULL, "say what would be computed, and how long it would take", 0, NULL},
    {"generate", INTEGER, AT(generate), "N", "generate at most N tokens (default: the family's limit)", 1, NULL},
    {"top", INTEGER, AT(top), "N", "how many of the most probable answers to list (default 10)", 1, NULL},
    {"do", LIST, AT(do_), "EDIT", "an intervention, such as 'zero text_encoder.3.cross.z#0'; repeatable", 0, NULL},
    {"read", LIST, AT(read), "ADDRESS", "activations to save; wildcards allowed; repeatable", 0, NULL},
    {"in-order", FLAG, AT(in_order), NULL, "edits may write the same element: the order of the list counts", 0, NULL},
    {"generated", FLAG, AT(generated), NULL, "edits reach generated rows, too, not only the prompt's", 0, NULL},
    {"sites", FLAG, AT(sites), NULL, "list every address with its shape and its names in other tools", 0, NULL},
    {"plan", FLAG, AT(plan), NULL, "list the steps of the plan with reach, need, flops and bytes", 0, NULL},
    {"tensors", FLAG, AT(tensors), NULL, "list the tensors of the checkpoint", 0, NULL},
    {"jsonl", TEXT, AT(jsonl), "FILE", "each line a JSON string in, one JSON array of ids out (- is standard input)", 0,
     NULL},
    {"decode", FLAG, AT(decode), NULL, "with --jsonl: each line a JSON array of ids in, one JSON string out", 0, NULL},
    {"keep-special", FLAG, AT(keep_special), NULL, "with --decode: keep special tokens", 0, NULL},
    {"corrupt", LIST, AT(corrupt), "CORRUPTION",
     "how the input is corrupted; repeatable (default of trace: mul-gauss:mean=1,std=5@vision.final; @vision.embed for "
     "a classifier)",
     0, NULL},
    {"restore", LIST, AT(restore), "ADDRESS",
     "what is put back, without rows; repeatable (default: the blocks' outputs of both text stacks)", 0, NULL},
    {"window", INTEGER, AT(window), "W", "restore or patch W layers together, centred (default 1)", 1, NULL},
    {"draws", INTEGER, AT(draws), "K", "draws of the noise (default 10)", 1, NULL},
    {"noise-redraw", FLAG, AT(redraw), NULL, "new noise for every run, as the original notebook did", 0, NULL},
    {"layer-start", INTEGER, AT(layer_start), "L", "restore from this layer on (default 0)", 0, NULL},
    {"feature-range", TEXT, AT(feature_range), "A:B", "restore only features A up to, excluding, B", 0, NULL},
    {"target", TEXT, AT(target), "TEXT", "the answer to follow, its first piece, or id:N (default: the clean run's)", 0,
     NULL},
    {"value", CHOICE, AT(value), "WHAT", "what pictures show: raw probability (default), normalised, or difference", 0,
     "raw|normalised|difference"},
    {"facet", CHOICE, AT(facet), "BY", "one panel per corruption (default) or per draw", 0, "corrupt|draw"},
    {"colors", TEXT, AT(colors), "MAP",
     "colour map: Purples, Reds, Greens, Blues, Greys, viridis, cividis, RdBu, seismic (default: by site)", 0, NULL},
    {"vmin", REAL, AT(vmin), "V", "value of the lightest colour (default: the corrupted run's)", 0, NULL},
    {"vmax", REAL, AT(vmax), "V", "value of the darkest colour (default: the largest)", 0, NULL},
    {"serif", FLAG, AT(serif), NULL, "a serif font in pictures", 0, NULL},
    {"hide-last-tick", FLAG, AT(hide_last_tick), NULL, "leave the last layer unlabelled, as the original figures do", 0,
     NULL},
    {"labels", CHOICE, AT(labels), "KIND", "rows are named by pieces (default) or words", 0, "pieces|words"},
    {"samples", TEXT, AT(samples), "FILE",
     "trace: average over the rows of a COCO-QA style table; attend, data: a sample table", 0, NULL},
    {"images", TEXT, AT(images), "DIR", "the folder with the pictures of the table", 0, NULL},
    {"words", INTEGER, AT(words), "N", "only questions of N words", 1, NULL},
    {"limit", INTEGER, AT(limit), "N", "only the first N samples; report: of these only the pictures and own maps", 1,
     NULL},
    {"only-correct", FLAG, AT(only_correct), NULL, "exclude samples that the model answers otherwise than the table", 0,
     NULL},
    {"avg-divisor", INTEGER, AT(avg_divisor), "N", "divide sums over samples by N instead of their number", 1, NULL},
    {"corrupt-image", LIST, AT(corrupt_images), "FILE",
     "the corrupted input has this picture; of several pictures given once for each, in order", 0, NULL},
    {"corrupt-question", TEXT, AT(corrupt_question), "TEXT",
     "the corrupted input has this question (or, with --prompt, this prompt), of as many tokens", 0, NULL},
    {"site", LIST, AT(site), "ADDRESS",
     "what is patched or looked at, without rows; repeatable where several make sense", 0, NULL},
    {"heads", TEXT, AT(heads), "HEADS",
     "a list of heads, such as 0,3-5 (default: all); patch: these together, or each: one after the other", 0, NULL},
    {"rows", TEXT, AT(rows), "ROWS", "rows: numbers, names, image[R,C], \"word\" (default: see above)", 0, NULL},
    {"layers", TEXT, AT(layers), "LAYERS", "a list of layers, such as 0,3-5 (default: all of them)", 0, NULL},
    {"direction", CHOICE, AT(direction), "WAY",
     "denoise (default): clean states into the corrupted run; noise: corrupted states into the clean run", 0,
     "denoise|noise"},
    {"correct", TEXT, AT(correct), "TEXT",
     "the correct answer: its first piece, a class, or id:N (patch: default the clean run's)", 0, NULL},
    {"incorrect", TEXT, AT(incorrect), "TEXT", "the answer that the correct one is compared with", 0, NULL},
    {"metric", CHOICE, AT(metric), "WHAT",
     "prob, p_diff, logit_diff or effect. patch: what pictures show (default effect; prob without --incorrect); "
     "circuit, maps: what counts (default logit_diff, prob)",
     0, "prob|p_diff|logit_diff|effect"},
    {"pad-attended", FLAG, AT(pad_attended), NULL,
     "questions may differ in length: the shorter is filled up with [PAD], which is attended to", 0, NULL},
    {"llava-hs-into-module", FLAG, AT(hs_into_module), NULL,
     "into mlp.out or attn.z of a language model goes the layer's whole output, behind the last layer the final norm's",
     0, NULL},
    {"keep-degenerate", FLAG, AT(keep_degenerate), NULL,
     "two answers that begin with the same token are compared all the same: logit_diff is 0, effect empty", 0, NULL},
    {"keys", CHOICE, AT(keys), "KEYS",
     "what is looked at: auto (default: the picture, if it is there), image, text or all", 0, "auto|image|text|all"},
    {"minus", TEXT, AT(minus), "WHAT",
     "subtract: average (the mean over all heads), group:NAME of --samples, or the average over another FILE of "
     "samples",
     0, NULL},
    {"group", TEXT, AT(group), "NAME", "only samples of this group", 0, NULL},
    {"upsample", CHOICE, AT(upsample), "HOW",
     "patches to pixels: nearest (default: every patch keeps its value) or cubic (a spline, smoother than what was "
     "measured)",
     0, "nearest|cubic"},
    {"alpha", REAL, AT(alpha), "SHARE", "share of the colours over the picture, 0 to 1 (default 0.5)", 0, NULL},
    {"background", CHOICE, AT(background), "KIND",
     "the picture below the maps: gray (default: all colour is the map's) or color", 0, "gray|color"},
    {"minmax", FLAG, AT(minmax), NULL, "scale every map to 0..1 by its own ends before drawing it", 0, NULL},
    {"columns", INTEGER, AT(columns), "N", "maps side by side in --plot (default: chosen)", 1, NULL},
    {"table", TEXT, AT(table), "FILE", "the table of the data set: CSV", 0, NULL},
    {"excluded", TEXT, AT(excluded), "FILE",
     "where what was left out is listed, with reasons (default: OUT.excluded.csv)", 0, NULL},
    {"prompts", TEXT, AT(corrected_prompts), "FILE", "svo: CSV with the columns prompt (the skeleton) and corrected", 0,
     NULL},
    {"batches", TEXT, AT(batches), "PATH", "cifar10: the folder of the batches, or one batch", 0, NULL},
    {"gray", FLAG, AT(gray), NULL, "cifar10: also write gray pictures, as the corrupted ones", 0, NULL},
    {"train", FLAG, AT(train), NULL, "cifar10: the training pictures instead of the test pictures", 0, NULL},
    {"keep-black", FLAG, AT(keep_black), NULL, "keep pictures that are black all over (failed downloads)", 0, NULL},
    {"corrupted", FLAG, AT(corrupted), NULL, "evaluate: the corrupted inputs, into the column generated_corrupt", 0,
     NULL},
    {"rule", CHOICE, AT(rule), "RULE", "select: whose rule decides which samples are taken", 0,
     "fer|mit-states|svo|cifar10"},
    {"count", INTEGER, AT(count), "N", "select: samples per group and half (default: the rule's)", 1, NULL},
    {"svo-dup", FLAG, AT(svo_dup), NULL,
     "select: positive pictures twice instead of the negative ones, as the original did", 0, NULL},
    {"by-group", FLAG, AT(by_group), NULL, "for every group of the samples (circuit: and what they share)", 0, NULL},
    {"by-order", FLAG, AT(by_order), NULL, "apart: questions that name the correct answer first, and second", 0, NULL},
    {"threshold", REAL, AT(threshold), "K",
     "importance from mean + K standard deviations on is above the threshold (default 2)", 0, NULL},
    {"bootstrap", INTEGER, AT(bootstrap), "N", "resamples of the samples for the intervals (default 10000; 0: none)", 0,
     NULL},
    {"test", CHOICE, AT(test), "TEST", "permutation (default), sign, or none: the threshold alone makes the circuit", 0,
     "permutation|sign|none"},
    {"permutations", INTEGER, AT(permutations), "N",
     "sign flips of the permutation test (default 10000, or more for many heads; all of them where there are no more)",
     1, NULL},
    {"fdr", REAL, AT(fdr), "Q", "the share of false heads that is accepted (default 0.05)", 0, NULL},
    {"row-offset", INTEGER, AT(row_offset), "N", "with --rows answer: the row this far behind it", INT64_MIN, NULL},
    {"substring-match", FLAG, AT(substring), NULL,
     "with --rows answer: the first piece that contains the answer's first piece", 0, NULL},
    {"nan-zero", FLAG, AT(nan_zero), NULL, "missing values count as 0", 0, NULL},
    {"confirm", FLAG, AT(confirm), NULL, "switch the circuit off, and as many random heads, and count right answers", 0,
     NULL},
    {"model", TEXT, AT(model_folder), "MODEL", "with --confirm: the model (default: the study's)", 0, NULL},
    {"ablation", CHOICE, AT(ablation), "HOW", "with --confirm: mean (default; over all samples and rows) or zero", 0,
     "mean|zero"},
    {"random", INTEGER, AT(random), "R", "with --confirm: random sets of other heads (default 20)", 1, NULL},
    {"same-layers", FLAG, AT(same_layers), NULL,
     "with --confirm: random sets have as many heads in each layer as the circuit", 0, NULL},
    {"db", TEXT, AT(db), "FILE", "the database that the results are added to; created when absent", 0, NULL},
    {"retry-excluded", FLAG, AT(retry_excluded), NULL,
     "try excluded samples again, after what was wrong with them has been mended", 0, NULL},
    {"shard", TEXT, AT(shard), "I/N", "only the I-th of N parts of the samples, into a database of its own", 0, NULL},
    {"merge", FLAG, AT(merge), NULL, "compute nothing: add the databases named behind the study (default: its shards)",
     0, NULL},
    {"vectors", TEXT, AT(vectors), "DIR", "a folder of reference activations", 0, NULL},
    {"tolerance", REAL, AT(tolerance), "T", "largest difference allowed, relative to the largest value (default 1e-4)",
     0, NULL},
};
enum { NOPTIONS = sizeof options / sizeof *options };

static bool takes(const cli_command *c, const char *name) {
  size_t n = strlen(name);
  for (const char *s = c->options; s && *s;) {
    size_t k = strcspn(s, " ");
    if (k == n && memcmp(s, name, n) == 0) return true;
    s += k + (s[k] == ' ');
  }
  return false;
}

static const option *find_option(const cli_command *c, const char *name, size_t n) {
  for (int i = 0; i < NOPTIONS; i++)
    if (strlen(options[i].name) == n && memcmp(options[i].name, name, n) == 0 && takes(c, options[i].name))
      return &options[i];
  return NULL;
}

static fv_status parse_choice(const option *o, const char *value, void *at, fv_error *err) {
  size_t n = strlen(value);
  for (const char *s = o->choices; *s;) {
    size_t k = strcspn(s, "|");
    if (k == n && memcmp(s, value, n) == 0) return *(const char **)at = value, FV_OK;
    s += k + (s[k] == '|');
  }
  return fv_fail(err, FV_EUSAGE, "--%s \"%s\": expected %s", o->name, value, o->choices);
}

/* strtod and strtoll also take blanks, hexadecimal digits and names. */
static bool is_decimal(const char *s, const char *end) {
  return end > s && strspn(s, "0123456789+-.eE") >= (size_t)(end - s);
}

static fv_status parse_size(const option *o, const char *value, void *at, fv_error *err) {
  char *end;
  errno = 0;
  double v = strtod(value, &end);
  const char *units = "KMGT", *unit = *end ? strchr(units, *end) : NULL;
  bool decimal = is_decimal(value, end);
  if (unit && !end[1]) v *= pow(1024.0, (double)(unit - units + 1)), end++;
  if (!decimal || *end || errno || !(v >= 1.0 && v < 1e18))
    return fv_fail(err, FV_EUSAGE, "--%s \"%s\": expected a size such as 800M or 2G", o->name, value);
  *(size_t *)at = (size_t)v;
  return FV_OK;
}

static fv_status append(cli_list *l, const char *value, fv_error *err) {
  const char **grown = realloc(l->items, (l->count + 1) * sizeof *grown);
  if (!grown) return fv_fail(err, FV_ENOMEM, "no memory");
  l->items = grown;
  l->items[l->count++] = value;
  return FV_OK;
}

static fv_status parse_value(const option *o, const char *value, void *at, fv_error *err) {
  char *end;
  errno = 0;
  switch (o->kind) {
    case FLAG: *(bool *)at = true; return FV_OK;
    case TEXT: *(const char **)at = value; return FV_OK;
    case CHOICE: return parse_choice(o, value, at, err);
    case SIZE: return parse_size(o, value, at, err);
    case INTEGER: {
      long long v = strtoll(value, &end, 10);
      if (errno == ERANGE) return fv_fail(err, FV_EUSAGE, "--%s \"%s\": the number is too large", o->name, value);
      if (!is_decimal(value, end) || *end || v < o->least)
        return o->least == INT64_MIN ? fv_fail(err, FV_EUSAGE, "--%s \"%s\": expected an integer", o->name, value)
                                     : fv_fail(err, FV_EUSAGE, "--%s \"%s\": expected an integer of at least %lld",
                                               o->name, value, (long long)o->least);
      *(int64_t *)at = v;
      return FV_OK;
    }
    case REAL: {
      double v = strtod(value, &end);
      if (!is_decimal(value, end) || *end || !isfinite(v))
        return fv_fail(err, FV_EUSAGE, "--%s \"%s\": expected a number", o->name, value);
      *(double *)at = v;
      return FV_OK;
    }
    case PERCENT: {
      double v = strtod(value, &end);
      bool sign = end != value && strcmp(end, "%") == 0;
      if (!is_decimal(value, end) || end[sign] || !(v >= 0.0 && v <= 100.0))
        return fv_fail(err, FV_EUSAGE, "--%s \"%s\": expected 0 to 100 percent", o->name, value);
      *(double *)at = v;
      return FV_OK;
    }
    case LIST: return append(at, value, err);
  }
  return FV_EINTERNAL;
}

static fv_status unknown_option(const cli_command *c, const char *name, size_t n, fv_error *err) {
  cli_closest meant = {.typed = name, .size = n};
  for (int i = 0; i < NOPTIONS; i++)
    if (takes(c, options[i].name)) closest_try(&meant, options[i].name);
  return fv_fail(err, FV_EUSAGE, "unknown option --%.*s; %s%s%s`fovea help %s` lists the options", (int)n, name,
                 meant.name ? "did you mean --" : "", meant.name ? meant.name : "", meant.name ? "? " : "", c->name);
}

/* An empty name is what an unset variable of a script becomes. */
static bool names_file(const option *o) {
  static const char *const kinds[] = {"FILE", "DIR", "PATH"};
  for (size_t i = 0; o->arg && i < sizeof kinds / sizeof *kinds; i++)
    if (strcmp(o->arg, kinds[i]) == 0) return true;
  return false;
}

static fv_status parse_option(const cli_command *c, int argc, char **argv, int *i, bool seen[], cli_args *out,
                              fv_error *err) {
  const char *name = argv[*i] + 2, *equals = strchr(name, '=');
  size_t n = equals ? (size_t)(equals - name) : strlen(name);
  const option *o = find_option(c, name, n);
  if (!o) return unknown_option(c, name, n, err);
  if (o->kind == FLAG && equals) return fv_fail(err, FV_EUSAGE, "--%s takes no value", o->name);
  const char *value = equals ? equals + 1 : NULL;
  if (o->kind != FLAG && !value) {
    if (*i + 1 >= argc) return fv_fail(err, FV_EUSAGE, "--%s needs a value: --%s %s", o->name, o->name, o->arg);
    value = argv[++*i];
  }
  if (names_file(o) && !*value)
    return fv_fail(err, FV_EUSAGE, "--%s needs the name of a %s", o->name,
                   strcmp(o->arg, "DIR") == 0 ? "folder" : "file");
  if (seen[o - options] && o->kind != LIST) return fv_fail(err, FV_EUSAGE, "--%s is given twice", o->name);
  seen[o - options] = true;
  return parse_value(o, value, (char *)out + o->offset, err);
}

fv_status options_parse(const cli_command *c, int argc, char **argv, cli_args *out, fv_error *err) {
  bool seen[NOPTIONS] = {0};
  *out = (cli_args){.window = 1,
                    .draws = 10,
                    .top = 10,
                    .vmin = NAN,
                    .vmax = NAN,
                    .tolerance = 1e-4,
                    .rng = "torch",
                    .compute = "f32",
                    .pillow = "13",
                    .show = "auto",
                    .value = "raw",
                    .facet = "corrupt",
                    .keys = "auto",
                    .test = "permutation",
                    .threshold = 2.0,
                    .fdr = 0.05,
                    .bootstrap = 10000,
                    .upsample = "nearest",
                    .background = "gray",
                    .alpha = 0.5,
                    .direction = "denoise",
                    .labels = "pieces",
                    .seed = c == &command_data ? INT64_MIN : 0}; /* its subcommands differ in their default */
  for (int i = 0; i < argc; i++) {
    fv_status st = FV_OK;
    if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return out->topic = c->name, FV_OK;
    if (strncmp(argv[i], "--", 2) == 0 && argv[i][2])
      st = parse_option(c, argc, argv, &i, seen, out, err);
    else if (argv[i][0] == '-')
      st = fv_fail(err, FV_EUSAGE, "unknown option %s; options start with --, and `fovea help %s` lists them", argv[i],
                   c->name);
    else if (c->takes_model && !out->model)
      out->model = argv[i];
    else if (c == &command_help && !out->topic)
      out->topic = argv[i];
    else if (c->operand && (c->more_operands || out->operands.count == 0))
      st = append(&out->operands, argv[i], err);
    else
      st = fv_fail(err, FV_EUSAGE, "unexpected argument \"%s\"", argv[i]);
    if (st) return st;
  }
  if (out->pictures.count > 0) out->image = out->pictures.items[0];
  if (out->prompts.count > 0) out->prompt = out->prompts.items[0];
  if (out->from_prompts.count > 0) out->from_prompt = out->from_prompts.items[0];
  if (c->takes_model && !out->model) out->model = c->default_model;
  if (c->takes_model && (!out->model || !*out->model))
    return fv_fail(err, FV_EUSAGE, "a model folder is missing: fovea %s MODEL [options]", c->name);
  if (c->operand && (out->operands.count == 0 || !*out->operands.items[0]))
    return fv_fail(err, FV_EUSAGE, "an argument is missing: fovea %s %s [options]", c->name, c->operand);
  return FV_OK;
}

void options_release(cli_args *a) {
  free(a->pictures.items), free(a->prompts.items), free(a->from_prompts.items), free(a->site.items),
      free(a->operands.items), free(a->do_.items), free(a->read.items), free(a->corrupt.items), free(a->restore.items),
      free(a->corrupt_images.items);
}

void options_describe(const cli_command *c, FILE *out, bool roff) {
  for (int i = 0; i < NOPTIONS; i++) {
    const option *o = &options[i];
    char left[64];
    if (!takes(c, o->name)) continue;
    snprintf(left, sizeof left, "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    if (roff)
      fputs(".TP\n.B ", out), roff_text(out, left), roff_text(out, o->help);
    else
      fprintf(out, "  %-26s %s\n", left, o->help);
  }
}
