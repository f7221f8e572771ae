#include "checkpoint/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint_build.h"

/* Far above what a checkpoint needs (about 25 values per tensor), far below what would hurt. */
#define MAX_BYTES ((size_t)64 << 20)
#define MAX_VALUES ((size_t)1 << 22)
#define MAX_STACK ((size_t)1 << 20)
#define MAX_MARKS ((size_t)1 << 12)
#define MAX_TEXT ((size_t)16 << 20)
#define MAX_GLOBAL ((size_t)256)
#define UNDEFINED UINT32_MAX

typedef struct machine {
  fv_pickle *p;
  fv_cursor *at;
  const uint8_t *start;
  const char *path;
  fv_error *err;
  uint32_t *stack, *memo, *marks; /* marks: heights of the stack */
  size_t height, stack_capacity, memo_capacity, mark_count, mark_capacity;
  bool stopped;
} machine;

static fv_status broken(machine *m, const char *what) {
  return fv_fail(m->err, FV_EFORMAT, "%s: the pickle is damaged at its byte %zu: %s", m->path,
                 (size_t)(m->at->at - m->start), what);
}

static fv_status no_memory(machine *m) { return fv_fail(m->err, FV_ENOMEM, "%s: no memory for the pickle", m->path); }

static fv_status too_many(machine *m, const char *what) {
  return fv_fail(m->err, FV_EFORMAT, "%s: the pickle has too many %s for a file of tensors", m->path, what);
}

/* The values above the last mark; what lies below cannot be reached until the mark is gone. */
static size_t free_height(const machine *m) { return m->height - (m->mark_count ? m->marks[m->mark_count - 1] : 0); }

static fv_status push(machine *m, uint32_t value) {
  if (m->height >= MAX_STACK) return too_many(m, "values on its stack");
  if (!fv_grow(&m->stack, &m->stack_capacity, m->height + 1, sizeof *m->stack)) return no_memory(m);
  m->stack[m->height++] = value;
  return FV_OK;
}

static fv_status push_value(machine *m, const fv_pickle_value *v) {
  fv_pickle *p = m->p;
  if (p->value_count >= MAX_VALUES) return too_many(m, "values");
  if (!fv_grow(&p->values, &p->value_capacity, p->value_count + 1, sizeof *p->values)) return no_memory(m);
  p->values[p->value_count] = *v;
  return push(m, (uint32_t)p->value_count++);
}

static fv_status push_kind(machine *m, fv_pickle_kind kind, int64_t number) {
  return push_value(m, &(fv_pickle_value){.kind = kind, .number = number});
}

static fv_status add_item(machine *m, uint32_t object, uint32_t item) {
  fv_pickle *p = m->p;
  if (p->cell_count >= 2 * MAX_VALUES) return too_many(m, "items");
  if (!fv_grow(&p->cells, &p->cell_capacity, p->cell_count + 1, sizeof *p->cells)) return no_memory(m);
  uint32_t cell = (uint32_t)p->cell_count++;
  fv_pickle_value *v = &p->values[object];
  p->cells[cell] = (fv_pickle_cell){item, 0};
  if (v->count == 0)
    v->first = cell;
  else
    p->cells[v->last].next = cell;
  v->last = cell;
  v->count++;
  return FV_OK;
}

/* Adds the n top values of the stack, in the order they were pushed, and pops them. */
static fv_status add_top(machine *m, uint32_t object, size_t n) {
  m->height -= n;
  for (size_t i = 0; i < n; i++) {
    fv_status st = add_item(m, object, m->stack[m->height + i]);
    if (st) return st;
  }
  return FV_OK;
}

static fv_status op_tuple(machine *m, size_t n) {
  if (free_height(m) < n) return broken(m, "a tuple takes more values than there are");
  uint32_t tuple = (uint32_t)m->p->value_count;
  fv_status st = push_kind(m, FV_PICKLE_TUPLE, 0);
  if (st) return st;
  m->height--;
  st = add_top(m, tuple, n);
  return st ? st : push(m, tuple);
}

static fv_status pop_mark(machine *m, size_t *n) {
  if (m->mark_count == 0) return broken(m, "a mark is missing");
  *n = free_height(m);
  m->mark_count--;
  return FV_OK;
}

/* APPEND, APPENDS, SETITEM, SETITEMS: the n top values go into the list or dict below them. */
static fv_status op_fill(machine *m, size_t n, fv_pickle_kind kind) {
  if (free_height(m) < n + 1) return broken(m, "values or their container are missing");
  uint32_t object = m->stack[m->height - n - 1];
  if (m->p->values[object].kind != kind) return broken(m, "values are put into what is no list or dict");
  if (kind == FV_PICKLE_DICT && n % 2 != 0) return broken(m, "a dict key has no value");
  return add_top(m, object, n);
}

static fv_status op_fill_marked(machine *m, fv_pickle_kind kind) {
  size_t n = 0;
  fv_status st = pop_mark(m, &n);
  return st ? st : op_fill(m, n, kind);
}

static fv_status op_tuple_marked(machine *m) {
  size_t n = 0;
  fv_status st = pop_mark(m, &n);
  return st ? st : op_tuple(m, n);
}

static fv_status op_mark(machine *m) {
  if (m->mark_count >= MAX_MARKS) return too_many(m, "open marks");
  if (!fv_grow(&m->marks, &m->mark_capacity, m->mark_count + 1, sizeof *m->marks)) return no_memory(m);
  m->marks[m->mark_count++] = (uint32_t)m->height;
  return FV_OK;
}

static fv_status op_text(machine *m, size_t n) {
  const uint8_t *bytes;
  if (n > MAX_TEXT) return broken(m, "a text is longer than 16 MiB");
  if (!fv_cursor_take(m->at, n, &bytes)) return broken(m, "it ends within a text");
  return push_value(m, &(fv_pickle_value){.kind = FV_PICKLE_TEXT, .text = (const char *)bytes, .text_bytes = n});
}

/* Little-endian two's complement of n bytes. */
static fv_status op_long(machine *m, size_t n) {
  const uint8_t *bytes;
  if (!fv_cursor_take(m->at, n, &bytes)) return broken(m, "it ends within an integer");
  if (n > 8)
    return push_value(m, &(fv_pickle_value){.kind = FV_PICKLE_BIG_INT, .text = (const char *)bytes, .text_bytes = n});
  uint64_t v = n > 0 && bytes[n - 1] >= 0x80 ? UINT64_MAX : 0;
  for (size_t i = n; i-- > 0;) v = v << 8 | bytes[i];
  return push_kind(m, FV_PICKLE_INT, (int64_t)v);
}

/* An unsigned number of the given width that follows the opcode. */
static bool take_number(machine *m, size_t width, uint32_t *out) {
  const uint8_t *bytes;
  if (!fv_cursor_take(m->at, width, &bytes)) return false;
  *out = 0;
  for (size_t i = width; i-- > 0;) *out = *out << 8 | bytes[i];
  return true;
}

static fv_status op_put(machine *m, uint32_t slot) {
  if (free_height(m) == 0) return broken(m, "there is nothing to remember");
  /* Slots are numbered in the order of use, so a number beyond the bytes read so far only costs memory. */
  if (slot >= MAX_VALUES || slot >= (size_t)(m->at->at - m->start)) return too_many(m, "memo slots");
  size_t before = m->memo_capacity;
  if (!fv_grow(&m->memo, &m->memo_capacity, (size_t)slot + 1, sizeof *m->memo)) return no_memory(m);
  for (size_t i = before; i < m->memo_capacity; i++) m->memo[i] = UNDEFINED;
  m->memo[slot] = m->stack[m->height - 1];
  return FV_OK;
}

static fv_status op_get(machine *m, uint32_t slot) {
  if (slot >= m->memo_capacity || m->memo[slot] == UNDEFINED) return broken(m, "it recalls what it never remembered");
  return push(m, m->memo[slot]);
}

static bool take_line(machine *m, const char **line, size_t *n) {
  size_t left = fv_cursor_left(m->at);
  const uint8_t *end = left ? memchr(m->at->at, '\n', left < MAX_GLOBAL ? left : MAX_GLOBAL) : NULL;
  if (!end) return false;
  *line = (const char *)m->at->at;
  *n = (size_t)(end - m->at->at);
  m->at->at = end + 1;
  return true;
}

static fv_status op_global(machine *m) {
  const char *module, *name;
  size_t module_bytes, name_bytes;
  char shown_module[64], shown_name[64];
  if (!take_line(m, &module, &module_bytes) || !take_line(m, &name, &name_bytes))
    return broken(m, "it ends within the name of a Python object");
  const fv_pickle_global *g = fv_pickle_global_find(module, module_bytes, name, name_bytes);
  if (!g)
    return fv_fail(m->err, FV_EUNSUPPORTED,
                   "%s: the pickle asks for the Python object %s.%s, which no file of plain tensors needs; nothing was "
                   "run; save model.state_dict() or use safetensors",
                   m->path, fv_printable(module, module_bytes, shown_module),
                   fv_printable(name, name_bytes, shown_name));
  return push_value(m, &(fv_pickle_value){.kind = FV_PICKLE_GLOBAL, .global = g});
}

/* REDUCE and NEWOBJ: a call of a known name with a tuple of arguments. */
static fv_status op_call(machine *m, bool new_object) {
  if (free_height(m) < 2) return broken(m, "a call lacks its function or arguments");
  const fv_pickle_value f = m->p->values[m->stack[m->height - 2]], args = m->p->values[m->stack[m->height - 1]];
  if (f.kind != FV_PICKLE_GLOBAL || args.kind != FV_PICKLE_TUPLE)
    return broken(m, "it calls something that is not a named function with a tuple");
  m->height -= 2;
  if (f.global->what == FV_PICKLE_ORDERED_DICT) {
    if (args.count > 0) return broken(m, "an OrderedDict is made with arguments, expected none");
    return push_kind(m, FV_PICKLE_DICT, 0);
  }
  if (new_object || f.global->what == FV_PICKLE_STORAGE || f.global->what == FV_PICKLE_DTYPE)
    return fv_fail(m->err, FV_EUNSUPPORTED, "%s: the pickle makes an object of %s.%s, which no file of tensors does",
                   m->path, f.global->module, f.global->name);
  fv_pickle_value call = args;
  call.kind = FV_PICKLE_CALL;
  call.global = f.global;
  return push_value(m, &call);
}

static fv_status op_persistent(machine *m) {
  if (free_height(m) < 1) return broken(m, "a persistent id is missing");
  fv_pickle_value id = m->p->values[m->stack[m->height - 1]];
  const fv_pickle_value *kind;
  char shown[64];
  if (id.kind != FV_PICKLE_TUPLE || fv_pickle_items(m->p, &id, 1, &kind) < 1 || kind->kind != FV_PICKLE_TEXT)
    return broken(m, "a persistent id is not a tuple that begins with a text");
  if (!fv_pickle_is_text(kind, "storage"))
    return fv_fail(m->err, FV_EUNSUPPORTED,
                   "%s: the pickle holds a %s, expected tensor storages only; save model.state_dict() instead of the "
                   "whole model",
                   m->path, fv_printable(kind->text, kind->text_bytes, shown));
  m->height--;
  id.kind = FV_PICKLE_PERSISTENT;
  return push_value(m, &id);
}

/* The state of a dict (its _metadata) or of a tensor says nothing about the numbers. */
static fv_status op_build(machine *m) {
  if (free_height(m) < 2) return broken(m, "an object or its state is missing");
  fv_pickle_kind kind = m->p->values[m->stack[m->height - 2]].kind;
  if (kind != FV_PICKLE_DICT && kind != FV_PICKLE_CALL) return broken(m, "state is given to what has none");
  m->height--;
  return FV_OK;
}

static fv_status op_stop(machine *m) {
  if (m->height != 1 || m->mark_count != 0) return broken(m, "it stops with other than one value");
  m->p->root = m->stack[0];
  m->stopped = true;
  return FV_OK;
}

static fv_status op_unknown(machine *m, uint8_t op) {
  static const struct {
    uint8_t op;
    const char *name;
  } names[] = {{'0', "POP"},
               {'1', "POP_MARK"},
               {'2', "DUP"},
               {'F', "FLOAT"},
               {'I', "INT"},
               {'L', "LONG"},
               {'P', "PERSID"},
               {'S', "STRING"},
               {'T', "BINSTRING"},
               {'V', "UNICODE"},
               {'B', "BINBYTES"},
               {'C', "SHORT_BINBYTES"},
               {'d', "DICT"},
               {'g', "GET"},
               {'i', "INST"},
               {'l', "LIST"},
               {'o', "OBJ"},
               {'p', "PUT"},
               {0x82, "EXT1"},
               {0x83, "EXT2"},
               {0x84, "EXT4"},
               {0x8b, "LONG4"},
               {0x8c, "SHORT_BINUNICODE"},
               {0x8d, "BINUNICODE8"},
               {0x8e, "BINBYTES8"},
               {0x90, "ADDITEMS"},
               {0x91, "FROZENSET"},
               {0x92, "NEWOBJ_EX"},
               {0x93, "STACK_GLOBAL"},
               {0x94, "MEMOIZE"},
               {0x95, "FRAME"},
               {0x96, "BYTEARRAY8"},
               {0x97, "NEXT_BUFFER"},
               {0x98, "READONLY_BUFFER"}};
  const char *name = "unknown";
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].op == op) name = names[i].name;
  return fv_fail(m->err, FV_EUNSUPPORTED,
                 "%s: the pickle uses the opcode %s (0x%02x) at its byte %zu, which torch.save does not write with its "
                 "default protocol 2; save the file again with it or use safetensors",
                 m->path, name, op, (size_t)(m->at->at - m->start) - 1);
}

/* Opcodes that are followed by an unsigned number of 1, 2 or 4 bytes. */
static fv_status step_with_number(machine *m, uint8_t op) {
  size_t width = op == 'M' ? 2 : op == 'J' || op == 'X' || op == 'r' || op == 'j' ? 4 : 1;
  uint32_t n;
  if (!take_number(m, width, &n)) return broken(m, "it ends within a number");
  switch (op) {
    case 'q':
    case 'r': return op_put(m, n);
    case 'h':
    case 'j': return op_get(m, n);
    case 'X':
    case 'U': return op_text(m, n);
    case 0x8a: return op_long(m, n);
    case 'J': return push_kind(m, FV_PICKLE_INT, (int32_t)n);
    default: return push_kind(m, FV_PICKLE_INT, n);
  }
}

static fv_status step(machine *m, uint8_t op) {
  const uint8_t *real;
  switch (op) {
    case 'c': return op_global(m);
    case ')': return op_tuple(m, 0);
    case 0x85: return op_tuple(m, 1);
    case 0x86: return op_tuple(m, 2);
    case 0x87: return op_tuple(m, 3);
    case 't': return op_tuple_marked(m);
    case '(': return op_mark(m);
    case 'R': return op_call(m, false);
    case 0x81: return op_call(m, true);
    case 'Q': return op_persistent(m);
    case 'b': return op_build(m);
    case 's': return op_fill(m, 2, FV_PICKLE_DICT);
    case 'u': return op_fill_marked(m, FV_PICKLE_DICT);
    case 'a': return op_fill(m, 1, FV_PICKLE_LIST);
    case 'e': return op_fill_marked(m, FV_PICKLE_LIST);
    case '}': return push_kind(m, FV_PICKLE_DICT, 0);
    case ']': return push_kind(m, FV_PICKLE_LIST, 0);
    case 0x8f: return push_kind(m, FV_PICKLE_SET, 0);
    case 'N': return push_kind(m, FV_PICKLE_NONE, 0);
    case 0x88: return push_kind(m, FV_PICKLE_BOOL, 1);
    case 0x89: return push_kind(m, FV_PICKLE_BOOL, 0);
    case 'G':
      return fv_cursor_take(m->at, 8, &real) ? push_kind(m, FV_PICKLE_REAL, 0) : broken(m, "it ends within a number");
    case 'q':
    case 'r':
    case 'h':
    case 'j':
    case 'X':
    case 'U':
    case 0x8a:
    case 'K':
    case 'M':
    case 'J': return step_with_number(m, op);
    case '.': return op_stop(m);
    default: return op_unknown(m, op);
  }
}

static fv_status run(machine *m) {
  uint8_t op, protocol;
  if (!fv_cursor_u8(m->at, &op) || op != 0x80 || !fv_cursor_u8(m->at, &protocol))
    return broken(m, "it does not begin with a protocol number");
  if (protocol != 2)
    return fv_fail(m->err, FV_EUNSUPPORTED,
                   "%s: the pickle has protocol %u, expected 2, which torch.save writes unless told otherwise", m->path,
                   protocol);
  while (!m->stopped) {
    if ((size_t)(m->at->at - m->start) > MAX_BYTES) return broken(m, "it is longer than 64 MiB");
    if (!fv_cursor_u8(m->at, &op)) return broken(m, "it ends without STOP; was the download cut short?");
    fv_status st = step(m, op);
    if (st) return st;
  }
  return FV_OK;
}

fv_status fv_pickle_read(fv_cursor *at, const char *path, fv_pickle *out, fv_error *err) {
  *out = (fv_pickle){0};
  machine m = {.p = out, .at = at, .start = at->at, .path = path, .err = err};
  fv_status st = run(&m);
  free(m.stack);
  free(m.memo);
  free(m.marks);
  if (st) fv_pickle_release(out);
  return st;
}

void fv_pickle_release(fv_pickle *p) {
  free(p->values);
  free(p->cells);
  *p = (fv_pickle){0};
}

uint32_t fv_pickle_items(const fv_pickle *p, const fv_pickle_value *v, uint32_t max, const fv_pickle_value **items) {
  uint32_t n = v->count < max ? v->count : max, cell = v->first;
  for (uint32_t i = 0; i < n; i++, cell = p->cells[cell].next) items[i] = &p->values[p->cells[cell].value];
  return n;
}

bool fv_pickle_is_text(const fv_pickle_value *v, const char *text) {
  return v->kind == FV_PICKLE_TEXT && v->text_bytes == strlen(text) && memcmp(v->text, text, v->text_bytes) == 0;
}

const char *fv_pickle_kind_name(fv_pickle_kind kind) {
  static const char *const names[] = {
      [FV_PICKLE_NONE] = "None",           [FV_PICKLE_BOOL] = "a bool",        [FV_PICKLE_INT] = "an integer",
      [FV_PICKLE_REAL] = "a number",       [FV_PICKLE_BIG_INT] = "an integer", [FV_PICKLE_TEXT] = "a text",
      [FV_PICKLE_TUPLE] = "a tuple",       [FV_PICKLE_LIST] = "a list",        [FV_PICKLE_DICT] = "a dict",
      [FV_PICKLE_SET] = "a set",           [FV_PICKLE_GLOBAL] = "a class",     [FV_PICKLE_CALL] = "an object",
      [FV_PICKLE_PERSISTENT] = "a storage"};
  return names[kind];
}
