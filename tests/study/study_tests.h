/* What the tests of a study's files share: a folder of their own and checks of a status. */
#ifndef FOVEA_TESTS_STUDY_TESTS_H
#define FOVEA_TESTS_STUDY_TESTS_H

#include "support/scratch.h"

static fv_error e;
#define OK(call)                                                         \
  do {                                                                   \
    if ((call) != FV_OK) fail_msg("%s:%d: %s", #call, __LINE__, e.text); \
  } while (0)
#define FAILS(code, word, call)                                                                          \
  do {                                                                                                   \
    if ((call) != (code) || !strstr(e.text, word)) fail_msg("%s: %d, %s", #call, (int)e.status, e.text); \
  } while (0)

#endif
