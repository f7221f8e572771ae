/* Folders of pictures: listing them in the order of their names and saying which pictures can be used.
 *
 * A picture that is missing, cannot be decoded, or is black all over has a reason; a good one has none. Pictures are
 * decoded by several threads. Ownership: an fv_folder owns its strings; release it with fv_folder_release.
 */
#ifndef FOVEA_STUDY_DATA_PICTURES_H
#define FOVEA_STUDY_DATA_PICTURES_H

#include <stddef.h>

#include "fovea/status.h"

typedef struct fv_folder {
  char *path;
  size_t count;         /* entries, sorted by the bytes of their names; names that begin with a dot are left out */
  char **names, **full; /* of each entry; full is with the folder's path */
  size_t ngood, *good;  /* after fv_folder_check: the entries that are usable pictures */
  const char **reasons; /* after fv_folder_check: why an entry is not, or NULL */
} fv_folder;

/* FV_ENOTFOUND when there is no such folder. */
fv_status fv_folder_read(const char *path, fv_folder *out, fv_error *err);
void fv_folder_release(fv_folder *folder);
/* Decodes every entry that is called like a picture. */
fv_status fv_folder_check(fv_folder *folder, bool keep_black, fv_error *err);
/* The same for any paths: reasons[i] becomes NULL or says what is wrong with paths[i]. */
void fv_pictures_check(size_t n, char *const *paths, bool keep_black, const char **reasons);

#endif
