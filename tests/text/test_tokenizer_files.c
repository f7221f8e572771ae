/* Damaged, contradictory and unknown tokenizer files: each is refused with a message that names the fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/files.h"
#include "text/tokenizer.h"

#define BERT                                                                                       \
  "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true," \
  "\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"  \
  "\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}"
#define MODEL(vocab)                                                                                \
  "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\"," \
  "\"max_input_chars_per_word\":100,\"vocab\":{" vocab "}}"
#define GOOD MODEL("\"[UNK]\":0,\"a\":1,\"##b\":2")
#define ADDED(list) "{" GOOD ",\"added_tokens\":[" list "]}"
#define TEMPLATE(single, special)                                                                                      \
  "{" GOOD ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"special_tokens\":{" special \
  "}}}"

/* More than a message shows of a name; cutting it must not leave half a character. */
#define LONG8 "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E\xE6\x97\xA5\xE6\x9C\xAC"
#define LONG LONG8 LONG8 LONG8 LONG8

static char dir[] = "tokenizer-files-XXXXXX";
static const char *const names[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json",
                                    "added_tokens.json"};

static void clear(void) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *path = fv_path_join(dir, names[i]);
    unlink(path);
    free(path);
  }
}

static void put(const char *name, const char *text, size_t n) {
  char *path = fv_path_join(dir, name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  fwrite(text, 1, n, f);
  fclose(f);
  free(path);
}

static void refused(fv_status status, const char *part) {
  fv_tokenizer *t = NULL;
  fv_error e = {0};
  fv_status st = fv_tokenizer_open(dir, &t, &e);
  assert_true(fv_utf8_valid(e.text, strlen(e.text), NULL));
  if (st != status || !strstr(e.text, part) || strchr(e.text, '\n'))
    fail_msg("status %d, expected %d: \"%s\", expected \"%s\"", (int)st, (int)status, e.text, part);
  assert_null(t);
}

static void damaged_json(void **state) {
  (void)state;
  static const struct {
    const char *text, *part;
    fv_status status;
  } cases[] = {
      {"", "not valid JSON", FV_EFORMAT},
      {"[1,2]", "not a JSON object", FV_EFORMAT},
      {"{}", "\"model\" is missing", FV_EFORMAT},
      {"{\"model\":3}", "\"model\" has the wrong type", FV_EFORMAT},
      {"{\"model\":{}}", "\"type\" is missing", FV_EFORMAT},
      {"{\"model\":{\"type\":\"Unigram\"}}", "\"Unigram\"", FV_EUNSUPPORTED},
      {"{\"version\":\"2.0\"," GOOD "}", "\"2.0\"", FV_EUNSUPPORTED},
      {"{" MODEL("") "}", "is empty", FV_EFORMAT},
      {"{" MODEL("\"a\":0") "}", "no \"[UNK]\"", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"a\":-1") "}", "id of a is -1", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"a\":99999999999") "}", "99999999999", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"a\":1e400") "}", "not valid JSON", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"a\":1.5") "}", "id of a is not an integer", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"a\":\"1\"") "}", "id of a is not an integer", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"a\":0") "}", "id 0 belongs to both", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"[UNK]\":1") "}", "not valid JSON", FV_EFORMAT},
      {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"unk_token\":null}}", "\"unk_token\" is missing",
       FV_EFORMAT},
      {"{" GOOD ",\"normalizer\":{\"type\":\"NFKC\"}}", "\"normalizer\" is of type \"NFKC\"", FV_EUNSUPPORTED},
      {"{" GOOD ",\"normalizer\":[]}", "\"normalizer\"", FV_EFORMAT},
      {"{" GOOD ",\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":1}}", "\"clean_text\"", FV_EFORMAT},
      {"{" GOOD ",\"pre_tokenizer\":{\"type\":\"Whitespace\"}}", "\"Whitespace\"", FV_EUNSUPPORTED},
      {"{" GOOD ",\"decoder\":{\"type\":\"CTC\"}}", "\"CTC\"", FV_EUNSUPPORTED},
      {"{" GOOD ",\"decoder\":{\"type\":\"WordPiece\",\"prefix\":1,\"cleanup\":true}}", "\"prefix\"", FV_EFORMAT},
      {"{" GOOD ",\"post_processor\":{\"type\":\"PairProcessing\"}}", "\"PairProcessing\"", FV_EUNSUPPORTED},
      {"{" GOOD ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\"],\"sep\":[\"a\",1]}}", "id of cls",
       FV_EFORMAT},
      {TEMPLATE("{\"Sequence\":{\"id\":\"B\"}}", ""), "\"B\"", FV_EFORMAT},
      {TEMPLATE("{\"SpecialToken\":{\"id\":\"[X]\"}}", ""), "\"[X]\" is missing", FV_EFORMAT},
      {TEMPLATE("{\"SpecialToken\":{\"id\":\"[X]\"}}", "\"[X]\":{\"ids\":[-4]}"), "-4", FV_EFORMAT},
      {TEMPLATE("{\"Other\":{}}", ""), "neither", FV_EFORMAT},
      {"{" MODEL("\"[UNK]\":0,\"x" LONG "\":1,\"" LONG "\":1") "}", "id 1 belongs to both", FV_EFORMAT},
      {"{\"model\":{\"type\":\"xx" LONG "\"}}", "which this build does not know", FV_EUNSUPPORTED},
      {"{" GOOD ",\"added_tokens\":{}}", "\"added_tokens\" is not an array", FV_EFORMAT},
      {ADDED("7"), "not an object", FV_EFORMAT},
      {ADDED("{\"id\":1}"), "\"content\" is missing", FV_EFORMAT},
      {ADDED("{\"content\":\"x\"}"), "id of x", FV_EFORMAT},
      {ADDED("{\"content\":\"x\",\"id\":3,\"lstrip\":2}"), "lstrip", FV_EFORMAT},
      {ADDED("{\"content\":\"x\",\"id\":77}"), "listed with id 77", FV_EFORMAT},
      {"{" BERT "," GOOD ",\"added_tokens\":[{\"content\":\"\xCC\x81\",\"id\":3,\"normalized\":true}]}",
       "nothing is left", FV_EFORMAT},
      {"{" BERT "," GOOD ",\"added_tokens\":[{\"content\":\"X\",\"id\":3,\"normalized\":true},"
       "{\"content\":\"x\",\"id\":4,\"normalized\":true}]}",
       "the same after normalization", FV_EFORMAT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    clear();
    put("tokenizer.json", cases[i].text, strlen(cases[i].text));
    refused(cases[i].status, cases[i].part);
  }
  char deep[20000];
  memset(deep, '[', sizeof deep);
  clear();
  put("tokenizer.json", deep, sizeof deep);
  refused(FV_EFORMAT, "not valid JSON");
}

#define BPE(options, merges) \
  "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}," options "\"merges\":[" merges "]}"
#define PART(key, part) BPE("", "\"a b\"") ",\"" key "\":" part "}"
#define SPLIT(regex)    \
  PART("pre_tokenizer", \
       "{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":\"" regex "\"}}")
#define NEST(inner) "{\"type\":\"Sequence\",\"normalizers\":[" inner "]}"
#define NEST3(inner) NEST(NEST(NEST(inner)))

/* Every fault that only a BPE tokenizer and its parts can have. */
static void damaged_bpe(void **state) {
  (void)state;
  static const struct {
    const char *text, *part;
    fv_status status;
  } cases[] = {
      {BPE("", "\"a b\"") ",\"x\":[}", "not valid JSON", FV_EFORMAT},
      {BPE("", "\"ab\"") "}", "merge 0 is not two pieces", FV_EFORMAT},
      {BPE("", "\"a b\",\"a b a\"") "}", "merge 1 is not two pieces", FV_EFORMAT},
      {BPE("", "[\"a\"]") "}", "merge 0 is not two pieces", FV_EFORMAT},
      {BPE("", "[\"a\",3]") "}", "merge 0 is not two pieces", FV_EFORMAT},
      {BPE("", "7") "}", "merge 0 is not two pieces", FV_EFORMAT},
      {BPE("", "\"a c\"") "}", "\"c\", which the vocabulary lacks", FV_EFORMAT},
      {BPE("", "\"b a\"") "}", "\"ba\", which the vocabulary lacks", FV_EFORMAT},
      {BPE("\"dropout\":0.1,", "") "}", "\"dropout\" is 0.1", FV_EUNSUPPORTED},
      {BPE("\"unk_token\":\"<unk>\",", "") "}", "no \"<unk>\"", FV_EFORMAT},
      {BPE("\"unk_token\":1,", "") "}", "unk_token", FV_EFORMAT},
      {BPE("\"fuse_unk\":1,", "") "}", "fuse_unk", FV_EFORMAT},
      {BPE("\"byte_fallback\":true,\"end_of_word_suffix\":\"</w>\",", "") "}", "\"byte_fallback\" together",
       FV_EUNSUPPORTED},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "\"merges\" is missing", FV_EFORMAT},
      {"{\"model\":{\"vocab\":{},\"merges\":[]}}", "is empty", FV_EFORMAT},
      {PART("normalizer", "{\"type\":\"Sequence\"}"), "\"normalizers\" is missing", FV_EFORMAT},
      {PART("normalizer", NEST("4")), "a part of a Sequence is not an object", FV_EFORMAT},
      {PART("normalizer", NEST("{\"type\":\"NFKC\"}")), "\"NFKC\"", FV_EUNSUPPORTED},
      {PART("normalizer", NEST3(NEST3(NEST3("{\"type\":\"NFC\"}")))), "more than 8 deep", FV_EUNSUPPORTED},
      {PART("normalizer", "{\"type\":\"Prepend\"}"), "\"prepend\" is missing", FV_EFORMAT},
      {PART("normalizer", "{\"type\":\"Replace\",\"content\":\"\"}"), "\"pattern\" is missing", FV_EFORMAT},
      {PART("normalizer", "{\"type\":\"Replace\",\"content\":\"\",\"pattern\":{\"String\":\"\"}}"), "empty string",
       FV_EUNSUPPORTED},
      {PART("normalizer", "{\"type\":\"Strip\",\"strip_left\":true}"), "\"strip_right\" is missing", FV_EFORMAT},
      {PART("pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"), "expected one character", FV_EFORMAT},
      {PART("pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}"), "\"last\"",
       FV_EFORMAT},
      {PART("pre_tokenizer", "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}"),
       "contradicts", FV_EFORMAT},
      {PART("pre_tokenizer", "{\"type\":\"ByteLevel\"}"), "\"add_prefix_space\" is missing", FV_EFORMAT},
      {PART("pre_tokenizer",
            "{\"type\":\"Split\",\"behavior\":\"Cut\",\"invert\":false,\"pattern\":{\"String\":\"a\"}}"),
       "\"behavior\" is \"Cut\"", FV_EFORMAT},
      {SPLIT("\\\\w+"), "\"\\w+\"", FV_EUNSUPPORTED},
      {SPLIT("(?i:a)"), "(?i", FV_EUNSUPPORTED},
      {SPLIT("(*ACCEPT)"), "(*ACCEPT)", FV_EUNSUPPORTED},
      {SPLIT("[[:alpha:]]"), "[[:alpha:]]", FV_EUNSUPPORTED},
      {SPLIT("[a"), "\"[a\"", FV_EUNSUPPORTED},
      {SPLIT("a{2}"), "\"{2}\"", FV_EUNSUPPORTED},
      {SPLIT("a++"), "at byte 1", FV_EUNSUPPORTED},
      {SPLIT("\xC3\xA9"), "at byte 0", FV_EUNSUPPORTED},
      {SPLIT("(a"), "is wrong at byte 2", FV_EFORMAT},
      {SPLIT("a*"), "matches the empty string", FV_EUNSUPPORTED},
      {SPLIT(""), "matches the empty string", FV_EUNSUPPORTED},
      {PART("decoder", "{\"type\":\"Strip\",\"content\":\"ab\"}"), "2 characters, expected one", FV_EFORMAT},
      {PART("decoder", "{\"type\":\"Strip\",\"content\":\"a\",\"start\":-1}"), "start", FV_EFORMAT},
      {PART("decoder", "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"x\"}"), "\"x\"", FV_EFORMAT},
      {PART("decoder", "{\"type\":\"BPEDecoder\",\"suffix\":\"\"}"), "\"suffix\" is empty", FV_EUNSUPPORTED},
      {PART("decoder", "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"CTC\"}]}"), "\"CTC\"", FV_EUNSUPPORTED},
      {PART("post_processor", "{\"type\":\"RobertaProcessing\",\"cls\":[\"a\",0]}"), "\"sep\" is missing", FV_EFORMAT},
      {PART("post_processor",
            "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"BertProcessing\",\"cls\":[\"a\",0],\"sep\":[\"a\",0]},"
            "{\"type\":\"TemplateProcessing\"}]}"),
       "a second part", FV_EUNSUPPORTED},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    clear();
    put("tokenizer.json", cases[i].text, strlen(cases[i].text));
    refused(cases[i].status, cases[i].part);
  }
}

/* A pattern that takes exponential time ends with a message, not with an endless search. */
static void hostile_pattern(void **state) {
  (void)state;
  const char *text = SPLIT("(a+)+[bc]");
  char input[64];
  fv_tokenizer *t = NULL;
  fv_encoding e;
  fv_error err = {0};
  clear();
  put("tokenizer.json", text, strlen(text));
  if (fv_tokenizer_open(dir, &t, &err)) fail_msg("%s", err.text);
  memset(input, 'a', sizeof input);
  assert_int_equal(fv_tokenizer_encode(t, input, sizeof input, true, &e, &err), FV_EUNSUPPORTED);
  assert_non_null(strstr(err.text, "too many steps"));
  assert_int_equal(e.count, 0);
  fv_tokenizer_close(t);
}

static void damaged_vocab(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t n;
    const char *part;
  } cases[] = {{"", 0, "is empty"},
               {"[UNK]\na\xFF\n", 9, "byte 7"},
               {"[UNK]\na\0b\n", 10, "line 2 contains a NUL"},
               {"a\nb\n", 4, "no \"[UNK]\""}};
  clear();
  refused(FV_ENOTFOUND, "no tokenizer.json and no vocab.txt");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    clear();
    put("vocab.txt", cases[i].text, cases[i].n);
    refused(FV_EFORMAT, cases[i].part);
  }
}

static void damaged_config(void **state) {
  (void)state;
  static const struct {
    const char *name, *text, *part;
  } cases[] = {
      {"tokenizer_config.json", "3", "not a JSON object"},
      {"tokenizer_config.json", "{\"do_lower_case\":1}", "\"do_lower_case\" is not true or false"},
      {"tokenizer_config.json", "{\"clean_up_tokenization_spaces\":\"no\"}", "clean_up_tokenization_spaces"},
      {"tokenizer_config.json", "{\"cls_token\":5}", "not an object"},
      {"tokenizer_config.json", "{\"cls_token\":\"\"}", "is empty"},
      {"tokenizer_config.json", "{\"unk_token\":\"<unk>\"}", "no \"<unk>\""},
      {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}", "not a token id"},
      {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"9\":{\"content\":\"y\"}}}", "listed with id 9"},
      {"special_tokens_map.json", "{", "not valid JSON"},
      {"added_tokens.json", "{\"[DEC]\":-5}", "-5"},
      {"added_tokens.json", "{\"[DEC]\":50}", "listed with id 50"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    clear();
    put("vocab.txt", "[UNK]\na\n##b\n", 12);
    put(cases[i].name, cases[i].text, strlen(cases[i].text));
    refused(FV_EFORMAT, cases[i].part);
  }
}

/* What the older files beside a vocab.txt say: new tokens behind the vocabulary, in the order of their ids. */
static void old_files_count(void **state) {
  (void)state;
  const char *map = "{\"cls_token\":\"[ENC]\",\"additional_special_tokens\":[\"<s>\"]}";
  const char *added = "{\"[ENC]\":4,\"[DEC]\":3}";
  fv_tokenizer *t = NULL;
  fv_encoding e;
  fv_error err = {0};
  clear();
  put("vocab.txt", "[UNK]\na\n##b\n", 12);
  put("special_tokens_map.json", map, strlen(map));
  put("added_tokens.json", added, strlen(added));
  if (fv_tokenizer_open(dir, &t, &err)) fail_msg("%s", err.text);
  /* [UNK] a ##b, [DEC] 3, [ENC] 4, then [SEP] 5, [PAD] 6, [MASK] 7 and <s> 8 */
  assert_int_equal(fv_tokenizer_size(t), 9);
  assert_string_equal(fv_tokenizer_piece(t, 8), "<s>");
  assert_int_equal(fv_tokenizer_encode(t, "ab[DEC]A<s>", 11, true, &e, NULL), FV_OK);
  const int32_t want[] = {4, 1, 2, 3, 1, 8, 5};
  assert_int_equal(e.count, 7);
  assert_memory_equal(e.ids, want, sizeof want);
  assert_true(fv_tokenizer_is_special(t, 4) && fv_tokenizer_is_special(t, 8) && !fv_tokenizer_is_special(t, 1));
  fv_encoding_release(&e);
  fv_tokenizer_close(t);
}

static int setup(void **state) {
  (void)state;
  return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  clear();
  return rmdir(dir);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(damaged_json),    cmocka_unit_test(damaged_bpe),
                                     cmocka_unit_test(hostile_pattern), cmocka_unit_test(damaged_vocab),
                                     cmocka_unit_test(damaged_config),  cmocka_unit_test(old_files_count)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
