/* The circuits of a report (report_circuits.c). */
#ifndef FOVEA_STUDY_REPORT_CIRCUITS_H
#define FOVEA_STUDY_REPORT_CIRCUITS_H

#include "fovea/store.h"
#include "study/report_data.h"

/* The list "circuits"; empty without a store. */
fv_status fv_report_circuits_write(const fv_report *r, const fv_store *store, fv_json_out *j, fv_error *err);

#endif
