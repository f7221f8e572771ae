/* Exports: what a study's database holds, in the layouts that other programs read.
 *
 * `sweep` names one sweep; NULL means all of them. Rows come sample by sample in the order of the sample table, then in
 * the order in which an experiment computes them, so an export does not depend on how a study was stopped, resumed or
 * sharded. Errors: those of fv_store_open, FV_ENOTFOUND (no such sweep, nothing stored for it), FV_EIO, FV_ENOMEM.
 * Ownership: everything is borrowed for the call. Files appear complete or not at all; folders must exist, and are the
 * caller's to throw away when a call fails. Threads: any, each call on its own.
 */
#ifndef FOVEA_EXPORT_H
#define FOVEA_EXPORT_H

#include "fovea/table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The long table, as `trace --csv` and `patch --csv` write it, or as a JSON array of objects. "-" is standard output.
 * Of several sweeps the CSV has a last column `sweep`; the objects always have this key.
 * *rows (may be NULL) is how many there are. */
fv_status fv_export_csv(const char *db, const char *sweep, const char *path, int64_t *rows, fv_error *err);
fv_status fv_export_json(const char *db, const char *sweep, const char *path, int64_t *rows, fv_error *err);

/* One NumPy archive: per sweep, site and number of rows T the samples stacked, under SWEEP/STACK.SITE.T/ (with /WHAT in
 * front of the last slash where one sweep has several corruptions). scores and every other metric that has a value are
 * [N, T, L] or, with single heads, [N, T, L, H] f32, averaged over draws, NaN where there is none. docs/export.md has
 * the list. */
fv_status fv_export_npz(const char *db, const char *sweep, const char *path, fv_error *err);

/* One archive under ROME's names per sample and site (and head): FOLDER/knowledge_SAMPLE_STACK.SITE[_head_H].npz. */
fv_status fv_export_rome(const char *db, const char *sweep, const char *folder, fv_error *err);

/* NOTICE's result lists as NumPy archives, one per sweep, site and head, named as NOTICE names its files. Only patching
 * with a correct and an incorrect answer has them. */
fv_status fv_export_notice(const char *db, const char *sweep, const char *folder, fv_error *err);

#ifdef __cplusplus
}
#endif
#endif
