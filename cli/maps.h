/* Maps of rows and layers (or layers and heads) as pictures, in the terminal, and as NumPy arrays: what the commands
 * that draw them share. Options: --plot, --show, --colors, --vmin, --vmax, --serif, --hide-last-tick. */
#ifndef FOVEA_CLI_MAPS_H
#define FOVEA_CLI_MAPS_H

#include "cli.h"

typedef struct cli_panel {
  fv_heatmap map; /* values, row_labels and col_labels are the three below */
  float *values;
  char **columns, **rows; /* malloc'ed, as are the labels in them */
  char title[160], bar[160];
  const char *colors; /* of this panel in the terminal; a file takes the first panel's */
} cli_panel;

/* Room for the values, and empty labels. */
fv_status panel_new(cli_session *s, int64_t rows, int64_t cols, cli_panel *p);
/* The labels of columns that are layers; -1: none. */
void panel_layers(const cli_session *s, cli_panel *p, const int64_t *layers);
/* Scales the values to 0..1 by their own ends. */
void panel_minmax(cli_panel *p);
void panel_release(cli_panel *p);
/* The colours that a site has when nothing else is said. */
const char *site_colors(const char *stack, const char *site);
/* How much of a corruption its panel's title takes: without the address, unless only that tells two of them apart. */
int corrupt_width(const cli_session *s, const char *corrupt);
/* Refuses options that exclude each other, and names and colours that --plot cannot draw; colors: the command's own. */
fv_status maps_check_options(cli_session *s, const char *colors);
/* Whether anything is to be drawn: to a file (staged under that name), or in the terminal. */
bool maps_wanted(const cli_session *s, const char *plot);
/* Draws all panels. title: over all panels, or NULL. vmin, vmax NaN: from the data. */
fv_status maps_draw(cli_session *s, cli_panel *panels, size_t n, const char *title, float vmin, float vmax,
                    const char *plot);

/* ---- what trace and patch say of a map and of their runs ---- */

/* One map of a site of one corruption. */
typedef struct cli_map {
  const char *corrupt, *stack, *site;
  int64_t rows, cols;
  const int64_t *layers; /* [cols]; -1: none */
  char *const *labels;   /* [rows] */
} cli_map;
/* Begins the map's object with what a cli_map holds; the caller adds its numbers and ends it. */
void json_map_begin(fv_json_out *j, const cli_map *m);

/* What was computed. */
typedef struct cli_runs {
  int64_t window, seed, runs, checked;
  const fv_cost *cost;
} cli_runs;
void print_runs(FILE *out, const cli_runs *r);
/* Members of the object around the maps. */
void json_runs(fv_json_out *j, const cli_session *s, const cli_runs *r);

typedef struct cli_array {
  const char *name;
  fv_npy type;
  size_t ndim;
  const int64_t *shape;
  const void *data;
} cli_array;
/* Adds arrays under the names PREFIX NAME. */
fv_status npz_arrays(cli_session *s, fv_npz *z, const char *prefix, const cli_array *arrays, size_t n);

/* The arrays of ROME's archives: one site's probabilities, and what they belong to. */
typedef struct cli_rome {
  size_t rank;
  const int64_t *shape; /* of the scores; the first is rows */
  const double *scores;
  double low, high;   /* corrupted, clean */
  const int64_t *ids; /* [rows] token ids; -1: not a token of the question */
  char *const *tokens;
  const char *answer, *stack, *site;
  int64_t window;
  bool right;
} cli_rome;
fv_status npz_rome(cli_session *s, fv_npz *z, const char *prefix, const cli_rome *r);

#endif
