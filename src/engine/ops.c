/* The registry of operations. */
#include <string.h>

#include "engine/edit.h"

static const fv_op *const ops[] = {&fv_op_zero,      &fv_op_mean,      &fv_op_replace, &fv_op_add, &fv_op_scale,
                                   &fv_op_mul_gauss, &fv_op_add_gauss, &fv_op_uniform, &fv_op_mul, &fv_op_block};
enum { NOPS = sizeof ops / sizeof *ops };

const fv_op *fv_op_find(const char *name, size_t n) {
  for (int i = 0; i < NOPS; i++)
    if (strlen(ops[i]->name) == n && memcmp(ops[i]->name, name, n) == 0) return ops[i];
  return NULL;
}

fv_op_info fv_op_list(int index) {
  if (index < 0 || index >= NOPS) return (fv_op_info){0};
  return (fv_op_info){ops[index]->name, ops[index]->args, ops[index]->help};
}
