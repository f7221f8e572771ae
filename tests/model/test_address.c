/* Addresses: every form, every alias, every way to write one wrongly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "model/loaded.h"
#include "support/tiny_blip.h"
#include "support/vectors.h"

/* [CLS] what color is the shirts the cat ? [SEP] = rows 0..10 ("shirts" is two) */
static const char question[] = "what color is the shirts the cat ?";
static const tiny_shape shape = {.vision_D = 12,
                                 .vision_H = 3,
                                 .vision_F = 7,
                                 .vision_L = 2,
                                 .side = 3,
                                 .patch = 2,
                                 .text_D = 10,
                                 .text_H = 2,
                                 .text_F = 9,
                                 .text_L = 3,
                                 .V = 41,
                                 .positions = 15};
static tiny_blip tiny;
static fv_model *model;
static fv_input *input, *no_picture, *no_text;

static int set_up(void **state) {
  (void)state;
  const int32_t prompt[] = {6, 7};
  tiny_blip_new(&shape, 3, 1.0, &tiny);
  tiny_blip_save(&tiny);
  OK(fv_model_open(tiny.dir, NULL, &model, ERR));
  input = tiny_input(model, &tiny, 0, question, prompt, 2);
  no_picture = tiny_input(model, &tiny, -1, question, prompt, 0);
  no_text = tiny_input(model, &tiny, 0, NULL, prompt, 0);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  fv_input_free(input), fv_input_free(no_picture), fv_input_free(no_text);
  fv_model_close(model);
  tiny_blip_release(&tiny);
  return 0;
}

static void put_numbers(char *at, const int64_t *list, int64_t n) {
  *at = '\0';
  for (int64_t i = 0; i < n; i++) at += sprintf(at, "%s%lld", i ? "," : "", (long long)list[i]);
}

/* "address heads|rows|features" of every selection, joined by spaces. */
static void describe(const fv_selection *list, size_t n, char *out) {
  for (size_t i = 0; i < n; i++) {
    const fv_selection *s = &list[i];
    char heads[256], rows[512];
    put_numbers(heads, s->heads, s->nheads), put_numbers(rows, s->rows, s->nrows);
    out += sprintf(out, "%s%s %s|%s|", i ? " " : "", s->address, heads, rows);
    int64_t width = 0;
    for (int64_t k = 0; k < s->nspans; k++) {
      out += sprintf(out, "%s%lld-%lld", k ? "," : "", (long long)s->spans[k].lo, (long long)s->spans[k].hi - 1);
      width += s->spans[k].hi - s->spans[k].lo;
    }
    assert_int_equal(s->width, width * (s->nheads ? s->nheads : 1));
  }
}

static void forms_and_their_meaning(void **state) {
  (void)state;
  static const struct {
    const char *address, *meaning;
  } cases[] = {
      {"text_encoder.1.cross.z", "text_encoder.1.cross.z 0,1|0,1,2,3,4,5,6,7,8,9,10|0-4"},
      {"text_encoder.-1.cross.z#1@2", "text_encoder.2.cross.z 1|2|0-4"},
      {"text_encoder.0.cross.z#1,0@4,2:3,0-1", "text_encoder.0.cross.z 1,0|4,2|3-3,0-1"},
      {"text_encoder.0.attn.q#-1@-1:-1", "text_encoder.0.attn.q 1|10|4-4"},
      {"text_encoder.0.mlp.pre@0:2-4,5,8", "text_encoder.0.mlp.pre |0|2-5,8-8"},
      {"text_encoder.0.mlp.out@3-5", "text_encoder.0.mlp.out |3,4,5|0-9"},
      {"text_encoder.0.mlp.out@-3--1", "text_encoder.0.mlp.out |8,9,10|0-9"},
      {"text_encoder.0.mlp.out@7,1,7,0-2", "text_encoder.0.mlp.out |7,1,0,2|0-9"},
      {"text_encoder.0.mlp.out@*:0", "text_encoder.0.mlp.out |0,1,2,3,4,5,6,7,8,9,10|0-0"},
      {"text_encoder.0.mlp.out@cls", "text_encoder.0.mlp.out |0|0-9"},
      {"text_encoder.0.mlp.out@last,cls", "text_encoder.0.mlp.out |10,0|0-9"},
      {"text_encoder.0.mlp.out@text", "text_encoder.0.mlp.out |1,2,3,4,5,6,7,8,9|0-9"},
      {"text_encoder.0.mlp.out@\"what\"", "text_encoder.0.mlp.out |1|0-9"},
      {"text_encoder.0.mlp.out@\"the\"", "text_encoder.0.mlp.out |4|0-9"}, /* the first */
      {"text_encoder.0.mlp.out@\"shirts\"", "text_encoder.0.mlp.out |5,6|0-9"},
      {"text_encoder.0.mlp.out@\"shirt\"", "text_encoder.0.mlp.out |5|0-9"},
      {"text_encoder.0.mlp.out@\"color is\",0", "text_encoder.0.mlp.out |2,3,0|0-9"},
      {"text_encoder.0.mlp.out@\"?\":1-2", "text_encoder.0.mlp.out |9|1-2"},
      {"vision.0.mlp.out@cls", "vision.0.mlp.out |0|0-11"},
      {"vision.0.mlp.out@image[0,0],image[2,1],image[-1,-1]", "vision.0.mlp.out |1,8,9|0-11"},
      {"vision.0.mlp.out@image:0", "vision.0.mlp.out |1,2,3,4,5,6,7,8,9|0-0"},
      {"vision.final@last", "vision.final |9|0-11"},
      {"vision.pixels:0-3", "vision.pixels |0|0-3"},
      {"vision.patches@8", "vision.patches |8|0-11"},
      {"head.logits@last:7", "head.logits |2|7-7"},
      {"text_decoder.0.attn.pattern#0@1:0", "text_decoder.0.attn.pattern 0|1|0-0"},
      {"text_decoder.0.cross.scores@0", "text_decoder.0.cross.scores 0,1|0|0-10"},
      {"text_encoder.1.cross.k#0@image[1,2]", "text_encoder.1.cross.k 0|6|0-4"},
      {"text_decoder.0.cross.v@\"cat\":0", "text_decoder.0.cross.v 0,1|8|0-0"},
      {"text_encoder.0-1.cross.q@1:0", "text_encoder.0.cross.q 0,1|1|0-0 text_encoder.1.cross.q 0,1|1|0-0"},
      {"text_encoder.2,0.attn.in@1:0", "text_encoder.0.attn.in |1|0-0 text_encoder.2.attn.in |1|0-0"},
      {"*.final@last:0", "vision.final |9|0-0 text_encoder.final |10|0-0 text_decoder.final |2|0-0"},
      {"text_*.1.mlp.in@0:0", "text_encoder.1.mlp.in |0|0-0 text_decoder.1.mlp.in |0|0-0"},
      {"vision.1.attn.*@0#0", NULL}, /* selectors out of order */
      {"text_encoder.1.resid_*@0:0",
       "text_encoder.1.resid_pre |0|0-0 text_encoder.1.resid_mid |0|0-0 text_encoder.1.resid_cross |0|0-0 "
       "text_encoder.1.resid_post |0|0-0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_selection *list = NULL;
    size_t n = 0;
    fv_error err = {0};
    fv_status st = fv_address_resolve(model, input, cases[i].address, &list, &n, &err);
    if (!cases[i].meaning) {
      assert_int_equal(st, FV_EUSAGE);
      continue;
    }
    char found[4096] = "";
    if (st) fail_msg("%s: %s", cases[i].address, err.text);
    describe(list, n, found);
    if (strcmp(found, cases[i].meaning) != 0)
      fail_msg("%s means \"%s\", expected \"%s\"", cases[i].address, found, cases[i].meaning);
    for (size_t k = 0; k < n; k++) fv_selection_release(&list[k]);
    free(list);
  }
}

static void whole_selections_know_it(void **state) {
  (void)state;
  fv_selection *s;
  size_t n;
  OK(fv_address_resolve(model, input, "text_encoder.0.attn.pattern", &s, &n, ERR));
  assert_true(s->all_rows && s->all_heads && s->all_features);
  assert_int_equal(s->T, 11);
  assert_int_equal(s->head_width, 11);
  assert_int_equal(s->part, FV_PART_PATTERN);
  assert_int_equal(fv_selection_last_row(s), 10);
  fv_selection_release(s), free(s);
  OK(fv_address_resolve(model, input, "text_encoder.0.attn.q#0@7,2:1", &s, &n, ERR));
  assert_false(s->all_rows || s->all_heads || s->all_features);
  assert_int_equal(fv_selection_last_row(s), 7);
  fv_selection_release(s), free(s);
}

/* Every alias in the table stands for its canonical site, in every layer and with every selector. */
static void every_alias_resolves(void **state) {
  (void)state;
  int count = 0;
  for (const fv_alias *a = model->plan->aliases; a->pattern; a++, count++) {
    const char *mark = strstr(a->pattern, "{}");
    int stack = fv_plan_find_stack(model->plan, a->stack, strlen(a->stack));
    assert_true(stack >= 0);
    for (int l = 0; l < (mark ? (int)model->plan->stacks[stack].layers : 1); l++) {
      char layer[16], expected[96];
      snprintf(layer, sizeof layer, "%d", l);
      char *name = mark ? fv_format("%.*s%s%s@1:0", (int)(mark - a->pattern), a->pattern, layer, mark + 2)
                        : fv_format("%s@1:0", a->pattern);
      if (mark)
        snprintf(expected, sizeof expected, "%s.%d.%s", a->stack, l, a->site);
      else
        snprintf(expected, sizeof expected, "%s.%s", a->stack, a->site);
      fv_selection *s;
      size_t n;
      fv_error err = {0};
      if (fv_address_resolve(model, input, name, &s, &n, &err)) fail_msg("%s: %s", name, err.text);
      assert_int_equal(n, 1);
      assert_string_equal(s->address, expected);
      assert_int_equal(s->rows[0], 1);
      fv_selection_release(s), free(s), free(name);
    }
  }
  assert_true(count > 60);
}

/* fv_model_site lists canonical addresses and aliases that mean the same. */
static void listed_sites_resolve_to_themselves(void **state) {
  (void)state;
  for (size_t i = 0; i < fv_model_sites(model); i++) {
    fv_site_info info;
    char aliases[2048];
    OK(fv_model_site(model, i, &info, aliases, sizeof aliases, ERR));
    for (char *name = info.address; name;) {
      char *comma = name == info.address ? NULL : strstr(name, ", ");
      if (comma) *comma = '\0';
      fv_selection *s;
      size_t n;
      fv_error err = {0};
      if (fv_address_resolve(model, input, name, &s, &n, &err)) fail_msg("%s: %s", name, err.text);
      assert_int_equal(n, 1);
      assert_string_equal(s->address, info.address);
      fv_selection_release(s), free(s);
      name = name == info.address ? (aliases[0] ? aliases : NULL) : comma ? comma + 2 : NULL;
    }
  }
  fv_site_info info;
  assert_int_equal(fv_model_site(model, fv_model_sites(model), &info, NULL, 0, NULL), FV_ENOTFOUND);
}

static void malformed_addresses_are_explained(void **state) {
  (void)state;
  static const struct {
    const char *address;
    fv_status status;
    const char *words;
  } cases[] = {
      {"", FV_EUSAGE, "names no site"},
      {"@3", FV_EUSAGE, "names no site"},
      {"#0", FV_EUSAGE, "names no site"},
      {"vision", FV_EUSAGE, "dot"},
      {"vision_model@0", FV_OK, ""},
      {"nonsense", FV_EUSAGE, "dot"},
      {"vision.", FV_EUSAGE, "STACK.LAYERS.SITE"},
      {"vision.0.", FV_EUSAGE, "STACK.LAYERS.SITE"},
      {".0.mlp.out", FV_ENOTFOUND, "no stack \"\""},
      {"visio.0.mlp.out", FV_ENOTFOUND, "it has vision, text_encoder, text_decoder, head"},
      {"language.0.mlp.out", FV_ENOTFOUND, "blip_vqa"},
      {"vision.0.mlp.outs", FV_ENOTFOUND, "no site \"mlp.outs\""},
      {"vision.0.cross.z", FV_ENOTFOUND, "no site \"cross.z\""},
      {"vision.mlp.out", FV_ENOTFOUND, "without a layer"},
      {"vision.0.final", FV_ENOTFOUND, "in a layer"},
      {"head.0.logits", FV_ENOTFOUND, "in a layer"},
      {"vision.2.mlp.out", FV_ENOTFOUND, "0..1"},
      {"vision.-3.mlp.out", FV_ENOTFOUND, "0..1"},
      {"vision.1-5.mlp.out", FV_ENOTFOUND, "0..1"},
      {"vision.1-0.mlp.out", FV_ENOTFOUND, "1-0"},
      {"vision.,.mlp.out", FV_EUSAGE, "layers"},
      {"vision.0,.mlp.out", FV_EUSAGE, "layers"},
      {"vision.0-.mlp.out", FV_EUSAGE, "range"},
      {"vision.99999999999999999999.mlp.out", FV_ENOTFOUND, "0..1"},
      {"vision.0.mlp.out#", FV_EUSAGE, "# is not followed by heads"},
      {"vision.0.mlp.out@", FV_EUSAGE, "@ is not followed by rows"},
      {"vision.0.mlp.out:", FV_EUSAGE, ": is not followed by features"},
      {"vision.0.attn.q@1#0", FV_EUSAGE, "rows"},
      {"vision.0.attn.q:1@0", FV_EUSAGE, "features"},
      {"vision.0.attn.q:1#0", FV_EUSAGE, "features"},
      {"vision.0.attn.q#0#1", FV_EUSAGE, "heads"},
      {"vision.0.mlp.out#0", FV_EUSAGE, "has no heads"},
      {"vision.0.attn.q#3", FV_ENOTFOUND, "0..2"},
      {"vision.0.attn.q#x", FV_EUSAGE, "number"},
      {"vision.0.attn.q:4", FV_ENOTFOUND, "0..3"},
      {"vision.0.attn.q:1 2", FV_EUSAGE, "comma"},
      {"vision.0.mlp.out@10", FV_ENOTFOUND, "0..9"},
      {"vision.0.mlp.out@-11", FV_ENOTFOUND, "0..9"},
      {"vision.0.mlp.out@3-1", FV_ENOTFOUND, "3-1"},
      {"vision.0.mlp.out@1,,2", FV_EUSAGE, "rows"},
      {"vision.0.mlp.out@shirt", FV_EUSAGE, "\"word\""},
      {"vision.0.mlp.out@text", FV_ENOTFOUND, "no text rows"},
      {"vision.0.mlp.out@\"shirt\"", FV_ENOTFOUND, "shirt"},
      {"vision.0.mlp.out@image[3,0]", FV_ENOTFOUND, "3 x 3"},
      {"vision.0.mlp.out@image[0,-4]", FV_ENOTFOUND, "3 x 3"},
      {"vision.0.mlp.out@image[0]", FV_EUSAGE, "image[ROW,COLUMN]"},
      {"vision.0.mlp.out@image[0,1", FV_EUSAGE, "image[ROW,COLUMN]"},
      {"vision.0.mlp.out@image[", FV_EUSAGE, "image[ROW,COLUMN]"},
      {"vision.0.mlp.out@images", FV_EUSAGE, "rows"},
      {"vision.patches@cls", FV_EUSAGE, "rows"},
      {"text_encoder.0.mlp.out@image", FV_ENOTFOUND, "no image rows"},
      {"text_decoder.0.mlp.out@cls", FV_ENOTFOUND, "no class row"},
      {"text_decoder.0.mlp.out@text", FV_ENOTFOUND, "no text rows"},
      {"text_encoder.0.mlp.out@\"dog\"", FV_ENOTFOUND, "no row for \"dog\""},
      {"text_encoder.0.mlp.out@\"\"", FV_EUSAGE, "double quotes"},
      {"text_encoder.0.mlp.out@\"what", FV_EUSAGE, "double quotes"},
      {"text_encoder.0.mlp.out@\"what\"x", FV_EUSAGE, "comma"},
      {"text_encoder.0.mlp.out@\"a:b\"", FV_ENOTFOUND, "a:b"},
      {"text_encoder.encoder.layer.9.output", FV_ENOTFOUND, "0..2"},
      {"text_encoder.encoder.layer.0.outputs", FV_ENOTFOUND, "text_encoder"},
      {"vision.0.mlp.out@1\n", FV_EUSAGE, "control"},
      {"vision.0.mlp.\xc3out", FV_EUSAGE, "UTF-8"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fv_selection *list = NULL;
    size_t n = 0;
    fv_error err = {0};
    fv_status st = fv_address_resolve(model, input, cases[i].address, &list, &n, &err);
    if (st != cases[i].status || !strstr(err.text, cases[i].words))
      fail_msg("%s: status %d (expected %d), \"%s\", expected the words \"%s\"", cases[i].address, st, cases[i].status,
               err.text, cases[i].words);
    for (size_t k = 0; k < n; k++) fv_selection_release(&list[k]);
    free(list);
  }
}

/* However long the address is, the reason is said. */
static void long_addresses_keep_their_reason(void **state) {
  (void)state;
  char layers[1200] = "vision.0", rows[3000] = "vision.0.mlp.out@0";
  while (strlen(layers) < 1000) strcat(layers, ",1");
  strcat(layers, ".mlp.out");
  while (strlen(rows) < 2900) strcat(rows, ",1");
  fv_selection *s;
  size_t n;
  OK(fv_address_resolve(model, input, layers, &s, &n, ERR));
  assert_int_equal(n, 2);
  fv_selection_release(&s[0]), fv_selection_release(&s[1]), free(s);
  OK(fv_address_resolve(model, input, rows, &s, &n, ERR));
  assert_int_equal(s->nrows, 2);
  fv_selection_release(s), free(s);
  strcat(rows, ",99");
  fv_error err = {0};
  assert_int_equal(fv_address_resolve(model, input, rows, &s, &n, &err), FV_ENOTFOUND);
  assert_non_null(strstr(err.text, "0..9"));
  memset(rows, 'x', 2900);
  assert_int_equal(fv_address_resolve(model, input, rows, &s, &n, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "STACK.LAYERS.SITE"));
}

static void inputs_without_a_picture_or_a_text(void **state) {
  (void)state;
  fv_selection *s;
  size_t n;
  fv_error err = {0};
  assert_int_equal(fv_address_resolve(model, no_picture, "vision.final", &s, &n, &err), FV_ENOTFOUND);
  assert_non_null(strstr(err.text, "picture"));
  assert_int_equal(fv_address_resolve(model, no_text, "text_encoder.0.mlp.in", &s, &n, &err), FV_ENOTFOUND);
  assert_non_null(strstr(err.text, "question"));
  OK(fv_address_resolve(model, no_picture, "*.final", &s, &n, ERR)); /* those that there are */
  assert_int_equal(n, 2);
  for (size_t i = 0; i < n; i++) fv_selection_release(&s[i]);
  free(s);
  int64_t *rows, count;
  assert_int_equal(fv_rows_parse(no_text, "text_encoder", "0", &rows, &count, &err), FV_ENOTFOUND);
  assert_int_equal(fv_rows_parse(input, "nowhere", "0", &rows, &count, &err), FV_ENOTFOUND);
  assert_int_equal(fv_rows_parse(input, "vision", "", &rows, &count, &err), FV_EUSAGE);
  assert_int_equal(fv_numbers_parse("", 0, 5, "things", &rows, &count, &err), FV_EUSAGE);
  assert_non_null(strstr(err.text, "things"));
}

static void rows_have_names(void **state) {
  (void)state;
  fv_row_info r;
  OK(fv_input_row(input, "vision", 0, &r, ERR));
  assert_string_equal(r.name, "cls");
  OK(fv_input_row(input, "vision", 6, &r, ERR));
  assert_string_equal(r.name, "image[1,2]");
  OK(fv_input_row(input, "text_encoder", 6, &r, ERR));
  assert_string_equal(r.piece, "##s");
  assert_int_equal(fv_input_row(input, "vision", 10, &r, NULL), FV_ENOTFOUND);
  assert_int_equal(fv_input_row(input, "vision", -1, &r, NULL), FV_ENOTFOUND);
  assert_int_equal(fv_input_row(input, "absent", 0, &r, NULL), FV_ENOTFOUND);
  assert_int_equal(fv_input_rows(input, "vision"), 10);
  assert_int_equal(fv_input_rows(input, "text_encoder"), 11);
  assert_int_equal(fv_input_rows(input, "head"), 3);
  assert_int_equal(fv_input_rows(input, "absent"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(forms_and_their_meaning),
                                     cmocka_unit_test(whole_selections_know_it),
                                     cmocka_unit_test(every_alias_resolves),
                                     cmocka_unit_test(listed_sites_resolve_to_themselves),
                                     cmocka_unit_test(malformed_addresses_are_explained),
                                     cmocka_unit_test(long_addresses_keep_their_reason),
                                     cmocka_unit_test(inputs_without_a_picture_or_a_text),
                                     cmocka_unit_test(rows_have_names)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
