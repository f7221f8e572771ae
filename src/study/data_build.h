/* What the builders share. Each is a function that fills `out` from the options; fv_data_build checks the options
 * before and the result behind. */
#ifndef FOVEA_STUDY_DATA_BUILD_H
#define FOVEA_STUDY_DATA_BUILD_H

#include "study/data_draw.h"
#include "study/data_pairs.h"
#include "study/data_pictures.h"

typedef fv_status fv_data_builder(const fv_data_options *o, fv_pairs *out, fv_error *err);
fv_data_builder fv_data_fer, fv_data_mit_states, fv_data_svo, fv_data_coco_qa, fv_data_clevr, fv_data_cifar10;

/* The cells of a sample that most builders set; NULL: none. */
typedef struct fv_pair_cells {
  const char *image, *question, *corrupt_image, *corrupt_question, *correct, *incorrect, *group, *label;
  int correct_first;
} fv_pair_cells;
fv_status fv_pairs_add_cells(fv_pairs *out, const char *sample, const fv_pair_cells *cells, fv_pair **pair,
                             fv_error *err);
/* Excludes every entry of a checked folder that is no good picture, as FOLDER/NAME, and counts all as read. */
fv_status fv_folder_exclude(const fv_folder *folder, const char *name, fv_pairs *out, fv_error *err);
/* Excludes "TABLE line N", with " (DETAIL)" behind it unless detail is NULL. */
fv_status fv_exclude_line(fv_pairs *out, const char *table, int64_t line, const char *detail, const char *reason,
                          fv_error *err);

#endif
