/* A YAML file whose every node knows its line and column, and maps of it read by a table of fields.
 *
 * Parsing is libyaml's. A map is read into a struct: unknown and repeated keys, wrong types and values out of range are
 * errors FILE:LINE:COL that name the nearest valid word. Numbers and booleans are plain scalars; "5" in quotes is text.
 * Ownership: the file owns its nodes; what fv_yaml_read stores as text is malloc'ed and the struct's. Threads: one at a
 * time. The file is untrusted: at most 16 MiB; aliases may make nodes shared, so nothing recurses over them freely.
 */
#ifndef FOVEA_STUDY_YAML_FILE_H
#define FOVEA_STUDY_YAML_FILE_H

#include <yaml.h>

#include "fovea/status.h"

typedef struct fv_yaml {
  char *path;
  yaml_document_t document;
} fv_yaml;

fv_status fv_yaml_load(const char *path, fv_yaml **out, fv_error *err);
void fv_yaml_free(fv_yaml *y);
const yaml_node_t *fv_yaml_root(const fv_yaml *y);

/* The error "FILE:LINE:COL: ..." at a node; and the same put before an error that is set already. */
fv_status fv_yaml_fail(const fv_yaml *y, const yaml_node_t *at, fv_error *err, const char *format, ...) FV_PRINTF(4, 5);
fv_status fv_yaml_fail_at(const fv_yaml *y, const yaml_node_t *at, fv_error *err);

/* The text of a scalar, NULL when the node is none. */
const char *fv_yaml_text(const yaml_node_t *node);
/* The text of a key's value, which must be a scalar that holds something: null is what a key without a value has. */
fv_status fv_yaml_need_text(const fv_yaml *y, const char *key, const yaml_node_t *node, const char **out,
                            fv_error *err);
/* Item i of a list, NULL behind the last; of a scalar, itself is item 0. */
const yaml_node_t *fv_yaml_item(const fv_yaml *y, const yaml_node_t *node, size_t i);
/* Pair i of a map; false behind the last. */
bool fv_yaml_pair(const fv_yaml *y, const yaml_node_t *map, size_t i, const yaml_node_t **key,
                  const yaml_node_t **value);
/* The value of a key, or the map itself when it has no such key. */
const yaml_node_t *fv_yaml_get(const fv_yaml *y, const yaml_node_t *map, const char *key);

typedef struct fv_texts {
  char **items;
  size_t count;
} fv_texts;
void fv_texts_release(fv_texts *t);

typedef enum fv_field_kind {
  FV_FIELD_TEXT,    /* char * */
  FV_FIELD_TEXTS,   /* fv_texts: a scalar or a list of them */
  FV_FIELD_JOINED,  /* char *: a scalar, or a list of them with commas between */
  FV_FIELD_INTEGER, /* int64_t, at least `least` */
  FV_FIELD_PERCENT, /* double, 0 to 100 */
  FV_FIELD_SIZE,    /* size_t, as 800M or 2G */
  FV_FIELD_BOOL,    /* bool */
  FV_FIELD_CHOICE,  /* int: index into `choices`, words separated by | */
  FV_FIELD_NODE     /* const yaml_node_t *: read by the caller */
} fv_field_kind;

typedef struct fv_field {
  const char *name;
  fv_field_kind kind;
  size_t offset;
  int64_t least;
  const char *choices;
  bool needed;
} fv_field;

/* Fills the struct at `out`, which starts with the defaults; `what` is what the map describes, "a sweep". */
fv_status fv_yaml_read(const fv_yaml *y, const yaml_node_t *map, const char *what, const fv_field *fields, size_t n,
                       void *out, fv_error *err);

#endif
