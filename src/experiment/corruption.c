#include "experiment/corruption.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const char forms[] =
    "mul-gauss:mean=M,std=S@ADDRESS, add-gauss:std=S@ADDRESS, uniform:S@ADDRESS, scale:F@ADDRESS, image:FILE, "
    "question:TEXT, gray, "
    "blur:SIGMA, mask:R0,C0,R1,C1";

static fv_status malformed(const char *text, fv_error *err) {
  return fv_fail(err, FV_EUSAGE, "corruption \"%s\": expected one of %s", text, forms);
}

typedef struct kind {
  const char *name;
  fv_status (*parse)(fv_corruption *c, const char *args, fv_error *err);
} kind;

static fv_status edit_kind(fv_corruption *c, const char *args, const char *op, const char *prefix, bool noise,
                           fv_error *err) {
  const char *at = strchr(args, '@');
  if (!at || at == args || !at[1]) return malformed(c->text, err);
  c->edit = fv_format("%s %s %s%.*s", op, at + 1, prefix, (int)(at - args), args);
  c->noise = noise;
  return c->edit ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

static fv_status mul_gauss(fv_corruption *c, const char *args, fv_error *err) {
  return edit_kind(c, args, "mul-gauss", "", true, err);
}
static fv_status add_gauss(fv_corruption *c, const char *args, fv_error *err) {
  return edit_kind(c, args, "add-gauss", "", true, err);
}
static fv_status uniform(fv_corruption *c, const char *args, fv_error *err) {
  return edit_kind(c, args, "uniform", "scale=", true, err);
}
static fv_status scale(fv_corruption *c, const char *args, fv_error *err) {
  return edit_kind(c, args, "scale", "", false, err);
}

static fv_status set_text(fv_corruption *c, const char *args, const char **field, fv_error *err) {
  if (!args[0]) return malformed(c->text, err);
  c->value = fv_strdup(args);
  *field = c->value;
  return c->value ? FV_OK : fv_fail(err, FV_ENOMEM, "no memory");
}

static fv_status image(fv_corruption *c, const char *args, fv_error *err) {
  if (c->input.nimages > 0)
    return fv_fail(err, FV_EUSAGE, "corruption \"%s\": there are %zu pictures, and it replaces one", c->text,
                   c->input.nimages);
  return set_text(c, args, &c->input.image, err);
}

static fv_status question(fv_corruption *c, const char *args, fv_error *err) {
  if (c->input.nprompts > 0)
    return fv_fail(err, FV_EUSAGE, "corruption \"%s\": there are %zu texts, and it replaces one", c->text,
                   c->input.nprompts);
  return set_text(c, args, c->input.prompt ? &c->input.prompt : &c->input.question, err);
}

static fv_status gray(fv_corruption *c, const char *args, fv_error *err) {
  c->input.gray = true;
  return args[0] ? malformed(c->text, err) : FV_OK;
}

static fv_status blur(fv_corruption *c, const char *args, fv_error *err) {
  char *end;
  c->input.blur = strtod(args, &end);
  if (end == args || *end || !(c->input.blur > 0.0 && c->input.blur <= 1000.0))
    return fv_fail(err, FV_EUSAGE, "corruption \"%s\": the blur's radius must be more than 0 and at most 1000 pixels",
                   c->text);
  return FV_OK;
}

static fv_status mask(fv_corruption *c, const char *args, fv_error *err) {
  const char *s = args;
  for (int i = 0; i < 4; i++) {
    char *end;
    c->mask[i] = strtoll(s, &end, 10);
    if (end == s || *end != (i < 3 ? ',' : '\0')) return malformed(c->text, err);
    s = end + 1;
  }
  c->input.mask = c->mask;
  return FV_OK;
}

static const kind kinds[] = {{"mul-gauss", mul_gauss}, {"add-gauss", add_gauss}, {"uniform", uniform},
                             {"scale", scale},         {"image", image},         {"question", question},
                             {"gray", gray},           {"blur", blur},           {"mask", mask}};

fv_status fv_corruption_parse(const char *text, const fv_input_options *clean, fv_corruption *out, fv_error *err) {
  *out = (fv_corruption){.text = text, .input = *clean};
  size_t n = strcspn(text, ":");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strlen(kinds[i].name) != n || memcmp(kinds[i].name, text, n) != 0) continue;
    fv_status st = kinds[i].parse(out, text[n] ? text + n + 1 : text + n, err);
    if (st) fv_corruption_release(out);
    return st;
  }
  return malformed(text, err);
}

void fv_corruption_release(fv_corruption *c) {
  free(c->edit), free(c->value);
  *c = (fv_corruption){0};
}
