#include "experiment/corruption.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fovea/trace.h"

static const char forms[] =
    "mul-gauss:mean=M,std=S@ADDRESS, add-gauss:std=S@ADDRESS, uniform:S@ADDRESS, scale:F@ADDRESS, image:FILE "
    "(of several pictures image2:FILE the second), question:TEXT, gray, blur:SIGMA, mask:R0,C0,R1,C1";

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
    return fv_fail(err, FV_EUSAGE, "corruption \"%s\": there are %zu pictures; say which, as image%zu:FILE", c->text,
                   c->input.nimages, c->input.nimages);
  return set_text(c, args, &c->input.image, err);
}

/* One of "image1:FILE image3:FILE": the picture's number, as in the names of rows, and its file; *next is the one
 * behind it, or NULL. False: the text begins otherwise. */
static bool read_numbered(const char *text, size_t *number, const char **file, size_t *n, const char **next) {
  char *end;
  if (strncmp(text, "image", 5) != 0 || text[5] < '1' || text[5] > '9') return false;
  *number = strtoul(text + 5, &end, 10);
  if (*end != ':') return false;
  *file = end + 1, *next = NULL, *n = strlen(*file);
  for (const char *at = strstr(*file, " image"); at && !*next; at = strstr(at + 1, " image")) {
    size_t digits = strspn(at + 6, "0123456789");
    if (digits > 0 && at[6 + digits] == ':') *next = at + 1, *n = (size_t)(at - *file);
  }
  return true;
}

static fv_status images(fv_corruption *c, fv_error *err) {
  size_t pictures = c->input.nimages ? c->input.nimages : 1, number, n;
  const char *file, *next = c->value = fv_strdup(c->text);
  c->images = fv_alloc(pictures, sizeof *c->images);
  if (!c->value || !c->images) return fv_fail(err, FV_ENOMEM, "no memory");
  while (next) {
    if (!read_numbered(next, &number, &file, &n, &next) || n == 0) return malformed(c->text, err);
    if (number > pictures)
      return fv_fail(err, FV_EUSAGE, "corruption \"%s\": there is no picture %zu; there %s %zu", c->text, number,
                     pictures > 1 ? "are" : "is", pictures);
    if (c->images[number - 1])
      return fv_fail(err, FV_EUSAGE, "corruption \"%s\" replaces picture %zu twice", c->text, number);
    c->images[number - 1] = file;
    c->value[file + n - c->value] = '\0';
  }
  for (size_t i = 0; i < pictures; i++)
    if (!c->images[i]) c->images[i] = c->input.nimages ? c->input.images[i] : c->input.image;
  if (c->input.nimages)
    c->input.images = c->images;
  else
    c->input.image = c->images[0];
  return FV_OK;
}

fv_status fv_corruption_picture(const char *corruption, size_t picture, char **out, fv_error *err) {
  const char *file = NULL, *next = corruption;
  size_t number = 0, n = 0;
  *out = NULL;
  if (picture == 0 && strncmp(corruption, "image:", 6) == 0) file = corruption + 6, n = strlen(file);
  while (!file && next && read_numbered(next, &number, &file, &n, &next))
    if (number != picture + 1) file = NULL;
  if (file && !(*out = fv_format("%.*s", (int)n, file))) return fv_fail(err, FV_ENOMEM, "no memory");
  return FV_OK;
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
  fv_status st = strncmp(text, "image", 5) == 0 ? images(out, err) : malformed(text, err);
  if (st) fv_corruption_release(out);
  return st;
}

void fv_corruption_release(fv_corruption *c) {
  free(c->edit), free(c->value), free(c->images);
  *c = (fv_corruption){0};
}
