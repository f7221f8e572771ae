/* Everything: the public interface of libfovea. */
#ifndef FOVEA_FOVEA_H
#define FOVEA_FOVEA_H

#include "fovea/address.h"
#include "fovea/answer.h"
#include "fovea/attend.h"
#include "fovea/circuit.h"
#include "fovea/data.h"
#include "fovea/export.h"
#include "fovea/heads.h"
#include "fovea/input.h"
#include "fovea/json_out.h"
#include "fovea/machine.h"
#include "fovea/mean_maps.h"
#include "fovea/model.h"
#include "fovea/patch.h"
#include "fovea/plot.h"
#include "fovea/progress.h"
#include "fovea/report.h"
#include "fovea/statistics.h"
#include "fovea/status.h"
#include "fovea/store.h"
#include "fovea/study.h"
#include "fovea/table.h"
#include "fovea/tensors.h"
#include "fovea/trace.h"
#include "fovea/verify.h"
#include "fovea/wave.h"

#endif
