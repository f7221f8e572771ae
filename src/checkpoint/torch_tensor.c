#include "checkpoint/torch_tensor.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define MAX_ARGUMENTS 8

typedef struct tensor_name {
  const char *text;
  size_t bytes;
  char shown[64];
} tensor_name;

static fv_status wrong(const char *path, const tensor_name *name, const char *what, fv_error *err) {
  return fv_fail(err, FV_EFORMAT, "%s: tensor %s %s; the file is damaged", path, name->shown, what);
}

/* ("storage", class, key, location, count[, None or (view key, first, count)]) */
fv_status fv_storage_id_read(const fv_pickle *p, const fv_pickle_value *v, const char *path, fv_storage_id *out,
                             fv_error *err) {
  const fv_pickle_value *item[6], *part[3];
  uint32_t n = fv_pickle_items(p, v, 6, item);
  bool good = v->kind == FV_PICKLE_PERSISTENT && (v->count == 5 || v->count == 6) && n == v->count &&
              item[1]->kind == FV_PICKLE_GLOBAL && item[1]->global->what == FV_PICKLE_STORAGE &&
              item[2]->kind == FV_PICKLE_TEXT && item[3]->kind == FV_PICKLE_TEXT && item[4]->kind == FV_PICKLE_INT &&
              item[4]->number >= 0;
  if (!good) return fv_fail(err, FV_EFORMAT, "%s: the pickle describes a storage in an unknown way", path);
  *out = (fv_storage_id){.type = item[1]->global,
                         .key = item[2]->text,
                         .key_bytes = item[2]->text_bytes,
                         .count = item[4]->number,
                         .view_count = item[4]->number};
  if (n == 5 || item[5]->kind == FV_PICKLE_NONE) return FV_OK;
  good = item[5]->kind == FV_PICKLE_TUPLE && item[5]->count == 3 && fv_pickle_items(p, item[5], 3, part) == 3 &&
         part[1]->kind == FV_PICKLE_INT && part[2]->kind == FV_PICKLE_INT && part[1]->number >= 0 &&
         part[2]->number >= 0 && part[1]->number <= out->count && part[2]->number <= out->count - part[1]->number;
  if (!good) return fv_fail(err, FV_EFORMAT, "%s: the pickle describes a view of a storage that lies outside it", path);
  out->view_first = part[1]->number;
  out->view_count = part[2]->number;
  return FV_OK;
}

/* The tensor inside a Parameter, or the value itself. torch does not nest Parameters; a hostile chain of them would be
 * walked again for every name that refers to it. */
static const fv_pickle_value *unwrap(const fv_pickle *p, const fv_pickle_value *v) {
  const fv_pickle_value *inner = v;
  if (v->kind == FV_PICKLE_CALL && v->global->what == FV_PICKLE_PARAMETER) fv_pickle_items(p, v, 1, &inner);
  return inner;
}

static bool is_tensor(const fv_pickle *p, const fv_pickle_value *v) {
  v = unwrap(p, v);
  return v->kind == FV_PICKLE_CALL &&
         (v->global->what == FV_PICKLE_TENSOR_V2 || v->global->what == FV_PICKLE_TENSOR_V3);
}

/* A tuple of integers >= 0; the rank, or -1. A torch.Size is a call whose argument is the tuple. */
static int read_sizes(const fv_pickle *p, const fv_pickle_value *v, int64_t sizes[FV_MAX_RANK]) {
  const fv_pickle_value *items[FV_MAX_RANK];
  if (v->kind == FV_PICKLE_CALL && v->global->what == FV_PICKLE_SIZE && v->count == 1) fv_pickle_items(p, v, 1, &v);
  if (v->kind != FV_PICKLE_TUPLE || v->count > FV_MAX_RANK) return -1;
  int rank = (int)fv_pickle_items(p, v, FV_MAX_RANK, items);
  for (int d = 0; d < rank; d++) {
    if (items[d]->kind != FV_PICKLE_INT || items[d]->number < 0) return -1;
    sizes[d] = items[d]->number;
  }
  return rank;
}

static bool row_major(const fv_tensor *t, const int64_t *stride) {
  int64_t step = 1;
  for (int d = t->rank - 1; d >= 0; d--) {
    if (t->shape[d] != 1 && stride[d] != step) return false;
    step *= t->shape[d]; /* the product is t->count, which fits */
  }
  return true;
}

/* The offset of the last element, counted in elements; false when it does not fit. */
static bool last_element(const fv_tensor *t, const int64_t *stride, int64_t offset, int64_t *last) {
  *last = offset;
  for (int d = 0; d < t->rank; d++) {
    int64_t span;
    if (!fv_mul_i64(t->shape[d] - 1, stride[d], &span) || __builtin_add_overflow(*last, span, last)) return false;
  }
  return true;
}

/* Copies the strided elements in row-major order. */
static void lay_out(const fv_tensor *t, const uint8_t *from, const int64_t *stride, size_t size, uint8_t *to) {
  int64_t index[FV_MAX_RANK] = {0};
  int inner = t->rank - 1; /* rank > 0: a scalar is row-major */
  size_t step = (size_t)stride[inner] * size;
  for (int64_t done = 0; done < t->count; done += t->shape[inner]) {
    size_t at = 0;
    for (int d = 0; d < inner; d++) at += (size_t)(index[d] * stride[d]) * size;
    for (int64_t i = 0; i < t->shape[inner]; i++, to += size) memcpy(to, from + at + (size_t)i * step, size);
    for (int d = inner - 1; d >= 0 && ++index[d] == t->shape[d]; d--) index[d] = 0;
  }
}

/* Points t at its bytes: in the storage when it is row-major there, else laid out. `from` is element 0 of the view. */
static fv_status place(fv_torch_file *f, const tensor_name *name, fv_tensor *t, const uint8_t *from,
                       const int64_t *stride, size_t size, fv_error *err) {
  if (row_major(t, stride)) {
    t->data = from;
    return FV_OK;
  }
  size_t budget = f->map->size + f->map->size + ((size_t)64 << 20);
  if (t->bytes > budget - f->laid_out)
    return fv_fail(err, FV_EFORMAT,
                   "%s: tensor %s is a view that would take %zu bytes in row-major order, more than this file may ask "
                   "for; save it with .contiguous()",
                   f->path, name->shown, t->bytes);
  uint8_t *to = fv_checkpoint_block(f->c, t->bytes);
  if (!to) return fv_fail(err, FV_ENOMEM, "%s: no memory for tensor %s", f->path, name->shown);
  lay_out(t, from, stride, size, to);
  f->laid_out += t->bytes;
  t->data = to;
  return FV_OK;
}

/* Checks offset, shape and stride against the storage, in bytes since an untyped storage counts those. */
static fv_status bind(fv_torch_file *f, const tensor_name *name, const fv_storage_id *id, fv_tensor *t, int64_t offset,
                      const int64_t *stride, size_t size, fv_error *err) {
  const uint8_t *data = NULL;
  int64_t last, end, have, first;
  if (!fv_shape_count(t->rank, t->shape, &t->count) || !fv_mul_size((size_t)t->count, size, &t->bytes))
    return wrong(f->path, name, "has a shape with too many elements", err);
  fv_status st = f->find(f, id, &data, err);
  if (st || t->count == 0) return st;
  if (!last_element(t, stride, offset, &last) || __builtin_add_overflow(last, 1, &end) ||
      !fv_mul_i64(end, (int64_t)size, &end) || !fv_mul_i64(id->view_count, id->type->size, &have) || end > have)
    return wrong(f->path, name, "reaches beyond its storage", err);
  first = id->view_first * id->type->size + offset * (int64_t)size;
  return place(f, name, t, data + first, stride, size, err);
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]);
 * _rebuild_tensor_v3 has the dtype before metadata. */
static fv_status read_tensor(fv_torch_file *f, const tensor_name *name, const fv_pickle_value *call, fv_tensor *t,
                             fv_error *err) {
  const fv_pickle *p = f->pickle;
  const fv_pickle_value *arg[MAX_ARGUMENTS];
  uint32_t extra = call->global->what == FV_PICKLE_TENSOR_V3 ? 1 : 0, n = fv_pickle_items(p, call, MAX_ARGUMENTS, arg);
  int64_t stride[FV_MAX_RANK] = {0};
  fv_storage_id id;
  if (n != call->count || n < 6 + extra || n > 7 + extra)
    return wrong(f->path, name, "is made with an unknown number of arguments", err);
  fv_status st = fv_storage_id_read(p, arg[0], f->path, &id, err);
  if (st) return st;
  if (arg[1]->kind != FV_PICKLE_INT || arg[1]->number < 0) return wrong(f->path, name, "has no valid offset", err);
  t->rank = read_sizes(p, arg[2], t->shape);
  if (t->rank < 0) return wrong(f->path, name, "has no valid shape of at most 8 dimensions", err);
  if (read_sizes(p, arg[3], stride) != t->rank) return wrong(f->path, name, "has no stride >= 0 per dimension", err);
  const fv_pickle_global *type = id.type;
  if (extra) {
    if (arg[6]->kind != FV_PICKLE_GLOBAL || arg[6]->global->what != FV_PICKLE_DTYPE)
      return wrong(f->path, name, "has no dtype", err);
    type = arg[6]->global;
  } else if (type->untyped) {
    return wrong(f->path, name, "lies in an untyped storage without naming its dtype", err);
  }
  t->file = f->path;
  t->dtype = type->dtype;
  t->stored = type->name;
  return bind(f, name, &id, t, arg[1]->number, stride, type->size, err);
}

static fv_status add(fv_torch_file *f, const char *text, size_t bytes, const fv_pickle_value *v, fv_error *err) {
  fv_tensor t = {0};
  tensor_name name = {.text = text, .bytes = bytes};
  fv_printable(text, bytes, name.shown);
  fv_status st = read_tensor(f, &name, unwrap(f->pickle, v), &t, err);
  return st ? st : fv_checkpoint_add(f->c, &t, text, bytes, err);
}

/* The name under which an item of the saved object is listed: its text, or its number in decimal. */
static fv_status add_keyed(fv_torch_file *f, const fv_pickle_value *key, int64_t number, const fv_pickle_value *v,
                           fv_error *err) {
  char digits[32];
  if (key && key->kind == FV_PICKLE_TEXT) return add(f, key->text, key->text_bytes, v, err);
  if (key && key->kind != FV_PICKLE_INT)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: a tensor is saved under %s, expected a text or an integer", f->path,
                   fv_pickle_kind_name(key->kind));
  int n = snprintf(digits, sizeof digits, "%lld", (long long)(key ? key->number : number));
  return add(f, digits, (size_t)n, v, err);
}

fv_status fv_torch_add_all(fv_torch_file *f, fv_error *err) {
  const fv_pickle *p = f->pickle;
  const fv_pickle_value *root = fv_pickle_at(p, p->root), *key = NULL;
  bool dict = root->kind == FV_PICKLE_DICT, nested = false;
  size_t before = f->c->tensor_count;
  if (is_tensor(p, root)) return add(f, "", 0, root, err);
  if (!dict && root->kind != FV_PICKLE_LIST && root->kind != FV_PICKLE_TUPLE)
    return fv_fail(err, FV_EUNSUPPORTED, "%s: holds %s, expected a dict of tensors or a tensor", f->path,
                   fv_pickle_kind_name(root->kind));
  uint32_t cell = root->first;
  for (uint32_t i = 0; i < root->count; i++, cell = p->cells[cell].next) {
    const fv_pickle_value *v = fv_pickle_at(p, p->cells[cell].value);
    if (dict && i % 2 == 0) {
      key = v;
      continue;
    }
    if (v->kind == FV_PICKLE_DICT && v->count > 0) nested = true;
    fv_status st = is_tensor(p, v) ? add_keyed(f, key, i, v, err) : FV_OK;
    if (st) return st;
  }
  if (f->c->tensor_count == before)
    return fv_fail(err, FV_EFORMAT, "%s: holds no tensors%s", f->path,
                   nested ? " itself, only dicts that may: save the inner one (such as its state_dict) alone" : "");
  return FV_OK;
}
