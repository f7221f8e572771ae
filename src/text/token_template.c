#include "text/token_template.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "text/fields.h"

void fv_template_release(fv_template *t) {
  free(t->steps);
  *t = (fv_template){0};
}

static fv_status add(fv_template *t, int32_t step, const char *where, fv_error *err) {
  if (!fv_grow(&t->steps, &t->capacity, t->count + 1, sizeof *t->steps))
    return fv_fail(err, FV_ENOMEM, "%s: no memory for \"post_processor\"", where);
  t->steps[t->count++] = step;
  return FV_OK;
}

/* {"Sequence":{"id":"A"}}: the text. "B" belongs to pairs. */
static fv_status add_text(fv_template *t, const json_t *piece, const char *where, fv_error *err) {
  fv_slice id = {0};
  fv_status st = fv_field_string(piece, "id", where, &id, err);
  if (st) return st;
  if (strcmp(id.at, "A") != 0)
    return fv_fail(err, FV_EFORMAT, "%s: the template for one text uses sequence \"%s\", expected \"A\"", where,
                   FV_QUOTE(id.at));
  return add(t, FV_TEMPLATE_TEXT, where, err);
}

/* {"SpecialToken":{"id":"[CLS]"}}: the ids listed under that name in "special_tokens". */
static fv_status add_special(fv_template *t, const json_t *piece, const json_t *names, const char *where,
                             fv_error *err) {
  fv_slice name = {0};
  const json_t *entry = NULL, *ids = NULL;
  fv_status st = fv_field_string(piece, "id", where, &name, err);
  if (!st) st = fv_field_object(names, name.at, where, &entry, err);
  if (!st) st = fv_field_array(entry, "ids", where, &ids, err);
  for (size_t i = 0; !st && i < json_array_size(ids); i++) {
    int32_t id = 0;
    st = fv_field_id(json_array_get(ids, i), name.at, where, &id, err);
    if (!st) st = add(t, id, where, err);
  }
  return st;
}

static fv_status parse_template(fv_template *t, const json_t *part, const char *where, fv_error *err) {
  const json_t *single = NULL, *names = NULL;
  fv_status st = fv_field_array(part, "single", where, &single, err);
  if (!st) st = fv_field_object(part, "special_tokens", where, &names, err);
  for (size_t i = 0; !st && i < json_array_size(single); i++) {
    const json_t *piece = json_array_get(single, i);
    const json_t *text = json_object_get(piece, "Sequence"), *special = json_object_get(piece, "SpecialToken");
    if (json_is_object(text))
      st = add_text(t, text, where, err);
    else if (json_is_object(special))
      st = add_special(t, special, names, where, err);
    else
      st = fv_fail(err, FV_EFORMAT, "%s: piece %zu of \"single\" is neither a Sequence nor a SpecialToken", where, i);
  }
  return st;
}

/* "cls": ["[CLS]", 101] */
static fv_status add_pair(fv_template *t, const json_t *part, const char *key, const char *where, fv_error *err) {
  const json_t *pair = NULL;
  int32_t id = 0;
  fv_status st = fv_field_array(part, key, where, &pair, err);
  if (!st) st = fv_field_id(json_array_get(pair, 1), key, where, &id, err);
  return st ? st : add(t, id, where, err);
}

static fv_status parse_bert(fv_template *t, const json_t *part, const char *where, fv_error *err) {
  fv_status st = add_pair(t, part, "cls", where, err);
  if (!st) st = add(t, FV_TEMPLATE_TEXT, where, err);
  return st ? st : add_pair(t, part, "sep", where, err);
}

static const struct {
  const char *type;
  fv_status (*parse)(fv_template *t, const json_t *part, const char *where, fv_error *err);
} kinds[] = {{"TemplateProcessing", parse_template}, {"BertProcessing", parse_bert}, {"RobertaProcessing", parse_bert}};

static fv_status add_processor(const json_t *part, const char *type, const char *where, void *template, fv_error *err) {
  fv_template *out = template;
  /* It puts no tokens; it would only take white space off the places of the tokens. */
  if (strcmp(type, "ByteLevel") == 0) return FV_OK;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strcmp(kinds[i].type, type) != 0) continue;
    if (out->present)
      return fv_fail(err, FV_EUNSUPPORTED, "%s: a second part that puts tokens around the text, a %s; expected one",
                     where, type);
    out->present = true;
    return kinds[i].parse(out, part, where, err);
  }
  return fv_field_unknown(where, "post_processor", type,
                          "Sequence, TemplateProcessing, BertProcessing, RobertaProcessing and ByteLevel", err);
}

fv_status fv_template_parse(const json_t *root, const char *where, fv_template *out, fv_error *err) {
  *out = (fv_template){0};
  fv_status st = fv_field_steps(root, "post_processor", "processors", where, add_processor, out, err);
  if (!st && !out->present) st = add(out, FV_TEMPLATE_TEXT, where, err);
  if (st) fv_template_release(out);
  return st;
}

bool fv_template_apply(const fv_template *t, const fv_tokens *text, bool special, fv_tokens *out) {
  for (size_t i = 0; i < t->count; i++) {
    if (t->steps[i] != FV_TEMPLATE_TEXT) {
      if (special && !fv_tokens_add(out, t->steps[i], -1, -1)) return false;
      continue;
    }
    for (size_t k = 0; k < text->count; k++)
      if (!fv_tokens_add(out, text->items[k].id, text->items[k].first, text->items[k].last)) return false;
  }
  return true;
}
