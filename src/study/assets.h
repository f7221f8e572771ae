/* The files of src/study/assets/, which cmake/embed.cmake turns into C at build time. They are ASCII. */
#ifndef FOVEA_STUDY_ASSETS_H
#define FOVEA_STUDY_ASSETS_H

#include <stddef.h>

extern const char fv_asset_report_css[], fv_asset_report_draw_js[], fv_asset_report_maps_js[],
    fv_asset_report_heads_js[], fv_asset_report_js[];
extern const size_t fv_asset_report_css_size, fv_asset_report_draw_js_size, fv_asset_report_maps_js_size,
    fv_asset_report_heads_js_size, fv_asset_report_js_size;

#endif
