/* The pickle of a CIFAR-10 batch: a stack machine for dicts, lists, tuples, texts, integers and NumPy arrays of bytes.
 *
 * Values are nodes in one array and refer to each other by index; lists and dicts own their items. A value that is not
 * needed is still read, since the bytes behind it depend on it. Protocol 2 of Python 3 has no opcode for bytes and
 * writes a text whose characters they are, with a call that encodes it; only the pictures are decoded, once at the end,
 * so that a small file that encodes one text a million times takes no memory for it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/data_cifar_batch.h"

enum { MAX_NODES = 1 << 22 };

typedef enum kind {
  OTHER,
  INTEGER,
  TEXT,
  SEQUENCE,
  DICT,
  ARRAY_NAME,
  BUFFER_NAME,
  ENCODE_NAME,
  DTYPE_NAME,
  CLASS_NAME,
  ARRAY,
  DTYPE
} kind;

typedef struct node {
  kind kind;
  int64_t number; /* INTEGER; OTHER: 1 for True */
  const uint8_t *bytes;
  size_t nbytes;   /* TEXT; ARRAY: its data */
  bool encoded;    /* these are UTF-8 of the characters that stand for the bytes */
  uint32_t *items; /* SEQUENCE, DICT: key, value, ...; ARRAY: its shape; DTYPE: its arguments */
  size_t count, capacity;
} node;

typedef struct machine {
  fv_cursor at;
  const char *path;
  fv_error *err;
  node *nodes;
  size_t count, capacity;
  uint32_t *stack, *memo; /* in the stack, MARK stands for a mark */
  size_t height, stack_capacity, nmemo, memo_capacity;
} machine;

#define MARK UINT32_MAX

static fv_status broken(machine *m, const char *what) {
  return fv_fail(m->err, FV_EFORMAT, "%s: is no pickle of a CIFAR-10 batch: %s", m->path, what);
}

static fv_status no_memory(machine *m) { return fv_fail(m->err, FV_ENOMEM, "%s: no memory for the pickle", m->path); }

static fv_status push_index(machine *m, uint32_t index) {
  if (!fv_grow(&m->stack, &m->stack_capacity, m->height + 1, sizeof *m->stack)) return no_memory(m);
  m->stack[m->height++] = index;
  return FV_OK;
}

static fv_status push(machine *m, node n) {
  if (m->count == MAX_NODES) return broken(m, "it has too many values");
  if (!fv_grow(&m->nodes, &m->capacity, m->count + 1, sizeof *m->nodes)) return no_memory(m);
  m->nodes[m->count] = n;
  return push_index(m, (uint32_t)m->count++);
}

/* The value that lies `depth` below the top, NULL when there is none or a mark is in between. */
static node *peek(machine *m, size_t depth) {
  for (size_t i = 0; i <= depth; i++)
    if (m->height <= i || m->stack[m->height - 1 - i] == MARK) return NULL;
  return &m->nodes[m->stack[m->height - 1 - depth]];
}

/* Moves the values above stack place `from` to the end of a node's items. */
static fv_status move_items(machine *m, node *to, size_t from) {
  size_t n = m->height - from;
  if (n > 0 && !fv_grow(&to->items, &to->capacity, to->count + n, sizeof *to->items)) return no_memory(m);
  if (n > 0) memcpy(to->items + to->count, m->stack + from, n * sizeof *to->items);
  to->count += n;
  m->height = from;
  return FV_OK;
}

/* The place above the topmost mark; SIZE_MAX when there is none. */
static size_t above_mark(const machine *m) {
  size_t i = m->height;
  while (i > 0 && m->stack[i - 1] != MARK) i--;
  return i > 0 ? i : SIZE_MAX;
}

static fv_status make_tuple(machine *m, size_t from, bool marked) {
  node n = {.kind = SEQUENCE};
  if (from > m->height || (!marked && m->height > from && !peek(m, m->height - from - 1)))
    return broken(m, "a tuple lacks its items");
  fv_status st = move_items(m, &n, from);
  if (!st && marked) m->height--;
  if (!st) st = push(m, n);
  if (st) free(n.items);
  return st;
}

/* a, e, s, u: the values above the mark, or the topmost ones, become items of the list or dict below. */
static fv_status fill(machine *m, kind want, size_t from, bool marked) {
  size_t below = marked ? 2 : 1;
  if (from == SIZE_MAX || from > m->height || from < below || m->stack[from - below] == MARK)
    return broken(m, "items without a list or dict");
  node *to = &m->nodes[m->stack[from - below]];
  if (to->kind != want) return broken(m, "items for something else than a list or dict");
  for (size_t i = from; i < m->height; i++)
    if (m->stack[i] == MARK) return broken(m, "a mark among items");
  fv_status st = move_items(m, to, from);
  if (marked) m->height--;
  return st;
}

static fv_status push_text(machine *m, uint64_t n) {
  node text = {.kind = TEXT, .nbytes = (size_t)n};
  if (n > fv_cursor_left(&m->at) || !fv_cursor_take(&m->at, (size_t)n, &text.bytes)) return broken(m, "it is cut off");
  return push(m, text);
}

static bool text_is(const uint8_t *s, size_t n, const char *wanted) {
  return n == strlen(wanted) && memcmp(s, wanted, n) == 0;
}

static fv_status push_name(machine *m, const uint8_t *module, size_t nm, const uint8_t *name, size_t nn) {
  static const struct {
    const char *module, *name;
    kind kind;
  } names[] = {{"numpy.core.multiarray", "_reconstruct", ARRAY_NAME},
               {"numpy._core.multiarray", "_reconstruct", ARRAY_NAME},
               {"numpy.core.numeric", "_frombuffer", BUFFER_NAME},
               {"numpy._core.numeric", "_frombuffer", BUFFER_NAME},
               {"_codecs", "encode", ENCODE_NAME},
               {"numpy", "ndarray", CLASS_NAME},
               {"numpy", "dtype", DTYPE_NAME}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (text_is(module, nm, names[i].module) && text_is(name, nn, names[i].name))
      return push(m, (node){.kind = names[i].kind});
  return fv_fail(m->err, FV_EUNSUPPORTED, "%s: the pickle names %.*s.%.*s, which a batch of CIFAR-10 does not", m->path,
                 nm < 100 ? (int)nm : 100, (const char *)module, nn < 100 ? (int)nn : 100, (const char *)name);
}

static bool take_line(machine *m, const uint8_t **begin, size_t *n) {
  const uint8_t *end = memchr(m->at.at, '\n', fv_cursor_left(&m->at));
  if (!end) return false;
  *begin = m->at.at, *n = (size_t)(end - m->at.at);
  m->at.at = end + 1;
  return true;
}

static fv_status op_global(machine *m, bool from_stack) {
  const uint8_t *module, *name;
  size_t nm, nn;
  if (!from_stack) {
    if (!take_line(m, &module, &nm) || !take_line(m, &name, &nn)) return broken(m, "it is cut off");
    return push_name(m, module, nm, name, nn);
  }
  node *a = peek(m, 1), *b = peek(m, 0);
  if (!a || !b || a->kind != TEXT || b->kind != TEXT) return broken(m, "a name that is not text");
  m->height -= 2;
  return push_name(m, a->bytes, a->nbytes, b->bytes, b->nbytes);
}

/* Gives an array its shape and data, which must be bytes one behind the other. */
static fv_status set_array(machine *m, node *to, const node *shape, const node *type, const node *data, bool c_order) {
  const node *code = type->kind == DTYPE && type->count > 0 ? &m->nodes[type->items[0]] : NULL;
  if (!code || code->kind != TEXT || !text_is(code->bytes, code->nbytes, "u1") || !c_order || shape->kind != SEQUENCE ||
      data->kind != TEXT)
    return broken(m, "its array is not one of bytes in C order");
  to->bytes = data->bytes, to->nbytes = data->nbytes, to->encoded = data->encoded;
  to->count = 0;
  if (!fv_grow(&to->items, &to->capacity, shape->count, sizeof *to->items)) return no_memory(m);
  if (shape->count) memcpy(to->items, shape->items, shape->count * sizeof *to->items);
  to->count = shape->count;
  return FV_OK;
}

/* An argument of a call, or a part of a state. */
static const node *part(const machine *m, const node *list, size_t i) { return &m->nodes[list->items[i]]; }

/* _codecs.encode(text, "latin1"): the bytes that the text's characters stand for. */
static fv_status call_encode(machine *m, const node *arguments, node *made) {
  if (arguments->count != 2 || part(m, arguments, 0)->kind != TEXT || part(m, arguments, 1)->kind != TEXT ||
      !text_is(part(m, arguments, 1)->bytes, part(m, arguments, 1)->nbytes, "latin1"))
    return broken(m, "bytes that are not a text in latin1");
  *made = *part(m, arguments, 0);
  made->encoded = true;
  return FV_OK;
}

/* numpy's _frombuffer(data, dtype, shape, order), of protocol 5. */
static fv_status call_buffer(machine *m, const node *arguments, node *made) {
  if (arguments->count != 4) return broken(m, "an array's buffer has not four parts");
  const node *order = part(m, arguments, 3);
  bool c_order = order->kind == TEXT && text_is(order->bytes, order->nbytes, "C");
  made->kind = ARRAY;
  return set_array(m, made, part(m, arguments, 2), part(m, arguments, 1), part(m, arguments, 0), c_order);
}

/* A call: numpy's _reconstruct gives an empty array, dtype a type. */
static fv_status op_reduce(machine *m) {
  node *callee = peek(m, 1), *arguments = peek(m, 0), made = {0};
  kind what = callee ? callee->kind : OTHER;
  fv_status st = FV_OK;
  if (!arguments || arguments->kind != SEQUENCE ||
      (what != ARRAY_NAME && what != BUFFER_NAME && what != ENCODE_NAME && what != DTYPE_NAME))
    return broken(m, "a call of something else than NumPy's");
  if (what == ARRAY_NAME) made.kind = ARRAY;
  if (what == BUFFER_NAME) st = call_buffer(m, arguments, &made);
  if (what == ENCODE_NAME) st = call_encode(m, arguments, &made);
  if (what == DTYPE_NAME) { /* its arguments move along */
    made = (node){.kind = DTYPE, .items = arguments->items, .count = arguments->count, .capacity = arguments->capacity};
    arguments->items = NULL, arguments->count = arguments->capacity = 0;
  }
  m->height -= 2;
  if (!st) st = push(m, made);
  if (st) free(made.items);
  return st;
}

/* The state of an array: (version, shape, dtype, Fortran order, bytes). That of a dtype says nothing about bytes. */
static fv_status op_build(machine *m) {
  node *to = peek(m, 1), *state = peek(m, 0);
  if (!to || !state || (to->kind != ARRAY && to->kind != DTYPE))
    return broken(m, "a state of something else than NumPy's");
  m->height--;
  if (to->kind == DTYPE) return FV_OK;
  if (state->kind != SEQUENCE || state->count != 5) return broken(m, "an array's state has not five parts");
  const node *order = part(m, state, 3);
  return set_array(m, to, part(m, state, 1), part(m, state, 2), part(m, state, 4),
                   order->kind == OTHER && order->number == 0);
}

static fv_status remember(machine *m, uint64_t slot) {
  if (m->height == 0 || m->stack[m->height - 1] == MARK || slot >= MAX_NODES) return broken(m, "nothing to remember");
  size_t old = m->nmemo;
  if (!fv_grow(&m->memo, &m->memo_capacity, (size_t)slot + 1, sizeof *m->memo)) return no_memory(m);
  for (; old <= slot; old++) m->memo[old] = MARK;
  if (slot >= m->nmemo) m->nmemo = (size_t)slot + 1;
  m->memo[slot] = m->stack[m->height - 1];
  return FV_OK;
}

static fv_status recall(machine *m, uint64_t slot) {
  if (slot >= m->nmemo || m->memo[slot] == MARK) return broken(m, "it recalls what was not remembered");
  return push_index(m, m->memo[slot]);
}

/* Opcodes that are followed by a number of 1, 2, 4 or 8 bytes; 0: this is none. */
static int number_bytes(uint8_t op) {
  switch (op) {
    case 'K':
    case 'U':
    case 'C':
    case 'q':
    case 'h':
    case 0x8c:
    case 0x80: return 1;
    case 'M': return 2;
    case 'J':
    case 'T':
    case 'B':
    case 'X':
    case 'r':
    case 'j': return 4;
    case 0x8e:
    case 0x95:
    case 0x96: return 8;
    default: return 0;
  }
}

static fv_status step_with_number(machine *m, uint8_t op, uint64_t n) {
  switch (op) {
    case 'K':
    case 'M': return push(m, (node){.kind = INTEGER, .number = (int64_t)n});
    case 'J': return push(m, (node){.kind = INTEGER, .number = (int32_t)(uint32_t)n});
    case 'q':
    case 'r': return remember(m, n);
    case 'h':
    case 'j': return recall(m, n);
    case 0x80:
    case 0x95: return FV_OK; /* protocol, length of a frame */
    default: return push_text(m, n);
  }
}

static fv_status step(machine *m, uint8_t op) {
  char text[64];
  int bytes = number_bytes(op);
  const uint8_t *raw;
  uint64_t n = 0;
  if (bytes) {
    if (!fv_cursor_take(&m->at, (size_t)bytes, &raw)) return broken(m, "it is cut off");
    for (int i = 0; i < bytes; i++) n |= (uint64_t)raw[i] << (8 * i);
    return step_with_number(m, op, n);
  }
  switch (op) {
    case '}': return push(m, (node){.kind = DICT});
    case ']':
    case ')': return push(m, (node){.kind = SEQUENCE});
    case 'N':
    case 0x89: return push(m, (node){.kind = OTHER});
    case 0x88: return push(m, (node){.kind = OTHER, .number = 1});
    case '(': return push_index(m, MARK);
    case 't': return make_tuple(m, above_mark(m), true);
    case 0x85:
    case 0x86:
    case 0x87: return make_tuple(m, m->height - (size_t)(op - 0x84), false);
    case 'a': return fill(m, SEQUENCE, m->height - 1, false);
    case 'e': return fill(m, SEQUENCE, above_mark(m), true);
    case 's': return fill(m, DICT, m->height - 2, false);
    case 'u': return fill(m, DICT, above_mark(m), true);
    case 'c': return op_global(m, false);
    case 0x93: return op_global(m, true);
    case 'R': return op_reduce(m);
    case 'b': return op_build(m);
    case 0x94: return remember(m, m->nmemo);
    default: snprintf(text, sizeof text, "opcode %#x is not known", op); return broken(m, text);
  }
}

/* The value under a key of the dict on top, NULL when there is none of that kind. */
static const node *find(machine *m, const char *key, kind want) {
  const node *dict = peek(m, 0);
  for (size_t i = 0; dict && dict->kind == DICT && i + 1 < dict->count; i += 2) {
    const node *k = &m->nodes[dict->items[i]], *v = &m->nodes[dict->items[i + 1]];
    if (k->kind == TEXT && text_is(k->bytes, k->nbytes, key) && v->kind == want) return v;
  }
  return NULL;
}

/* The bytes that the characters of an encoded text stand for: each is its number, in UTF-8. */
static fv_status decode(machine *m, const node *data, size_t n, uint8_t **out) {
  const uint8_t *at = data->bytes, *end = at + data->nbytes;
  uint8_t *to = *out = fv_alloc(n, 1);
  if (!to) return no_memory(m);
  for (size_t i = 0; i < n; i++) {
    uint8_t c = at < end ? *at++ : 0xFF;
    bool two = c == 0xC2 || c == 0xC3;
    if ((c >= 0x80 && !two) || (two && (at == end || (*at & 0xC0) != 0x80)))
      return broken(m, "its data are not 3072 bytes per label");
    if (two) c = (uint8_t)(c << 6 | (*at++ & 0x3F));
    to[i] = c;
  }
  return at == end ? FV_OK : broken(m, "its data are not 3072 bytes per label");
}

static fv_status take_result(machine *m, fv_cifar_batch *out) {
  const node *labels = find(m, "labels", SEQUENCE), *data = find(m, "data", ARRAY);
  if (!labels || !data) return broken(m, "it has no \"labels\" or no \"data\"");
  const node *width = data->count == 2 ? &m->nodes[data->items[1]] : NULL;
  size_t n = labels->count * FV_CIFAR_PICTURE; /* every label takes a byte of the file */
  if (!width || width->kind != INTEGER || width->number != FV_CIFAR_PICTURE || n == 0 ||
      (data->encoded ? data->nbytes < n : data->nbytes != n))
    return broken(m, "its data are not 3072 bytes per label");
  fv_status st = data->encoded ? decode(m, data, n, &out->data) : FV_OK;
  if (st) return st;
  out->labels = fv_alloc(labels->count, 1);
  if (!out->labels) return no_memory(m);
  for (size_t i = 0; i < labels->count; i++) {
    const node *label = &m->nodes[labels->items[i]];
    out->labels[i] = label->kind == INTEGER && label->number >= 0 && label->number < 255 ? (uint8_t)label->number : 255;
  }
  out->count = labels->count, out->first = data->encoded ? out->data : data->bytes, out->stride = FV_CIFAR_PICTURE;
  return FV_OK;
}

fv_status fv_cifar_batch_unpickle(fv_cifar_batch *batch, const char *path, fv_error *err) {
  machine m = {.at = {batch->map.data, batch->map.data + batch->map.size}, .path = path, .err = err};
  fv_status st = FV_OK;
  for (uint8_t op = 0; !st;) {
    if (!fv_cursor_u8(&m.at, &op))
      st = broken(&m, "it is cut off");
    else if (op == '.')
      break;
    else
      st = step(&m, op);
  }
  if (!st) st = take_result(&m, batch);
  for (size_t i = 0; i < m.count; i++) free(m.nodes[i].items);
  free(m.nodes), free(m.stack), free(m.memo);
  return st;
}
