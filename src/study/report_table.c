/* The page of one experiment, from its table. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "study/report_data.h"

static fv_status fill(fv_report *r, const fv_page *page, const fv_table *table, fv_error *err) {
  fv_status st = fv_report_add_sweep(r, page->kind, page->kind, NULL, err);
  for (size_t i = 0; i < page->nfacts && !st; i++)
    st = fv_report_add_fact(r, page->facts[i].name, page->facts[i].value, err);
  for (size_t i = 0; i < page->nsamples && !st; i++) {
    const fv_page_sample *s = &page->samples[i];
    fv_report_picture *pictures = fv_alloc(s->npictures, sizeof *pictures);
    if (!pictures) return fv_fail(err, FV_ENOMEM, "no memory");
    for (size_t k = 0; k < s->npictures; k++)
      pictures[k].image = s->pictures[k].image, pictures[k].corrupt_image = s->pictures[k].corrupt_image;
    fv_report_sample one = {.name = s->name,
                            .status = s->excluded ? "excluded" : "done",
                            .reason = s->excluded,
                            .pictures = pictures,
                            .npictures = s->npictures,
                            .question = s->question,
                            .corrupt_question = s->corrupt_question,
                            .correct = s->correct,
                            .incorrect = s->incorrect,
                            .answer = s->answer,
                            .right = -1,
                            .answer_row = s->answer_row};
    st = fv_report_add_sample(r, &one, err);
    free(pictures);
  }
  fv_report_choose(r, (int64_t)fv_table_count(table));
  fv_report_feeder feeder;
  fv_sink sink = fv_report_begin(&feeder, r, 0);
  for (size_t i = 0; i < fv_table_count(table) && !st; i++) st = sink.row(sink.user, fv_table_row(table, i), err);
  return fv_report_end(&feeder, st, err);
}

fv_status fv_page_write(const char *path, const fv_page *page, const fv_table *table, const fv_report_options *options,
                        fv_error *err) {
  fv_report r = {.title = page->title, .kind = page->kind, .question_stack = page->question_stack};
  if (options)
    r.options = *options;
  else
    fv_report_defaults(&r.options);
  if (fv_table_count(table) == 0) return fv_fail(err, FV_EUSAGE, "%s: the table has no rows to show", path);
  r.whole_corruptions = page->nsamples < 2;
  fv_status st = fill(&r, page, table, err);
  if (!st) st = fv_report_page(&r, path, err);
  fv_report_release(&r);
  return st;
}
