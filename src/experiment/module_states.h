/* What NOTICE writes into LLaVA's modules when all heads move together: not the clean run's module output but its
 * hidden_states[l + 1], which is layer l's output and behind the last layer the final norm's. That is known later than
 * the module has to be written, so the states are read in a wave of their own, before the patched runs are added.
 *
 * Source: wrudman/NOTICE, LLaVA. Threads: the sweep's. Cost: one clean run, and the states of the rows that are
 * patched, of every layer, while the sweep is added.
 * Checked by: tests/experiment/test_patch.c against single edits.
 */
#ifndef FOVEA_EXPERIMENT_MODULE_STATES_H
#define FOVEA_EXPERIMENT_MODULE_STATES_H

#include "experiment/sweep.h"

/* FV_EUSAGE: a site that is not such a module, a part of its rows, corrupted states into the clean run. */
fv_status fv_module_states_check(const fv_sweep *s, const char *given, const fv_sweep_site *site, fv_error *err);
/* Reads them into the sites' `states`; not computed, they are zero, for what the patched runs would cost. */
fv_status fv_module_states_read(fv_sweep *s, bool compute, fv_error *err);
void fv_module_states_forget(fv_sweep *s);

#endif
