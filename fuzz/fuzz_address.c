/* Addresses, lists of rows and edits as text, on the small BLIP checkpoint of the tests. The last byte chooses which.
 */
#include "fovea/wave.h"
#include "fuzz.h"

static fv_model *model;
static fv_input *input;

static void open_once(void) {
  fv_input_options o;
  fv_input_defaults(&o);
  o.image = FV_SOURCE_DIR "/tests/data/blip/tied/vectors/image0.png";
  o.question = "what \"color\" is the cat's shirt ?";
  if (model) return;
  FUZZ_PROMISE(!fv_model_open(FV_SOURCE_DIR "/tests/data/blip/tied", &(fv_model_options){.threads = 1}, &model, NULL));
  FUZZ_PROMISE(!fv_input_new(model, &o, &input, NULL));
}

static void check_list(const int64_t *list, int64_t n, int64_t limit) {
  FUZZ_PROMISE(n > 0 && n <= limit);
  for (int64_t i = 0; i < n; i++) {
    FUZZ_PROMISE(list[i] >= 0 && list[i] < limit);
    for (int64_t k = 0; k < i; k++) FUZZ_PROMISE(list[k] != list[i]);
  }
}

static void resolve(const char *text) {
  fv_error err = {0};
  fv_selection *s = NULL;
  size_t n = 0;
  fv_status st = fv_address_resolve(model, input, text, &s, &n, &err);
  fuzz_check_error(st, &err);
  FUZZ_PROMISE(st || n > 0);
  for (size_t i = 0; i < n; i++) {
    FUZZ_PROMISE(s[i].width > 0 && s[i].nspans > 0);
    check_list(s[i].rows, s[i].nrows, s[i].T);
    for (int64_t k = 0; k < s[i].nspans; k++)
      FUZZ_PROMISE(s[i].spans[k].lo >= 0 && s[i].spans[k].lo < s[i].spans[k].hi);
    fv_selection_release(&s[i]);
  }
  free(s);
}

static void edit(const char *text) {
  fv_error err = {0};
  fv_wave *w;
  int clean, run;
  FUZZ_PROMISE(!fv_wave_new(model, NULL, &w, NULL) && !fv_wave_run(w, -1, input, &clean, NULL) &&
               !fv_wave_run(w, clean, NULL, &run, NULL));
  fv_cost cost;
  fuzz_check_error(fv_wave_do(w, run, text, clean, &err), &err);
  FUZZ_PROMISE(!fv_wave_readout(w, run, NULL, NULL, NULL) && !fv_wave_cost(w, &cost, NULL));
  fv_wave_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const stacks[] = {"vision", "text_encoder", "text_decoder", "head"};
  fv_error err = {0};
  int64_t *list = NULL, n = 0;
  open_once();
  if (size > 4096) return 0;
  char *text = malloc(size + 1);
  memcpy(text, data, size);
  text[size] = '\0';
  resolve(text);
  edit(text);
  for (int i = 0; i < 4; i++) {
    fv_status st = fv_rows_parse(input, stacks[i], text, &list, &n, &err);
    fuzz_check_error(st, &err);
    if (!st) check_list(list, n, fv_input_rows(input, stacks[i])), free(list);
  }
  if (!fv_numbers_parse(text, size, 9, "numbers", &list, &n, &err)) check_list(list, n, 9), free(list);
  free(text);
  return 0;
}
