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
/* Whether anything is to be drawn: to a file (staged under that name), or in the terminal. */
bool maps_wanted(const cli_session *s, const char *plot);
/* Draws all panels. title: over all panels, or NULL. vmin, vmax NaN: from the data. */
fv_status maps_draw(cli_session *s, cli_panel *panels, size_t n, const char *title, float vmin, float vmax,
                    const char *plot);

typedef struct cli_array {
  const char *name;
  fv_npy type;
  size_t ndim;
  const int64_t *shape;
  const void *data;
} cli_array;
/* Adds arrays under the names PREFIX NAME. */
fv_status npz_arrays(cli_session *s, fv_npz *z, const char *prefix, const cli_array *arrays, size_t n);

#endif
