/* The tables of a study's database. docs/results.md explains them; a change here is a new script, never an edit of an
 * old one. */
#include "study/store_inside.h"

static const char version_1[] =
    "CREATE TABLE manifest(key TEXT PRIMARY KEY NOT NULL, value TEXT) WITHOUT ROWID;"

    "CREATE TABLE sweeps(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, spec TEXT NOT NULL);"

    "CREATE TABLE samples(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, position INTEGER NOT NULL,"
    " status TEXT NOT NULL CHECK(status IN ('done','excluded','failed')), reason TEXT, \"group\" TEXT,"
    " correct_first INTEGER, label TEXT, image TEXT, image_sha256 TEXT, corrupt_image TEXT,"
    " corrupt_image_sha256 TEXT, question TEXT, corrupt_question TEXT, correct TEXT, incorrect TEXT,"
    " correct_id INTEGER, incorrect_id INTEGER, answer TEXT, answer_id INTEGER, clean_right INTEGER,"
    " answer_row INTEGER, fields TEXT, seed INTEGER, seconds REAL);"

    "CREATE TABLE sample_rows(sample_id INTEGER NOT NULL REFERENCES samples(id) ON DELETE CASCADE,"
    " stack TEXT NOT NULL, row INTEGER NOT NULL, token_id INTEGER, piece TEXT, name TEXT,"
    " PRIMARY KEY(sample_id, stack, row)) WITHOUT ROWID;"

    "CREATE TABLE bases(id INTEGER PRIMARY KEY, sample_id INTEGER NOT NULL REFERENCES samples(id) ON DELETE CASCADE,"
    " sweep_id INTEGER NOT NULL REFERENCES sweeps(id), draw INTEGER, corrupt TEXT, clean_prob REAL, corrupt_prob REAL,"
    " clean_logit_diff REAL, corrupt_logit_diff REAL, answer_id INTEGER, answer TEXT);"
    "CREATE INDEX bases_of_sample ON bases(sample_id);"

    "CREATE TABLE places(id INTEGER PRIMARY KEY, sweep_id INTEGER NOT NULL REFERENCES sweeps(id),"
    " stack TEXT, site TEXT, layer INTEGER, window INTEGER, op TEXT);"
    "CREATE UNIQUE INDEX places_once ON places(sweep_id, ifnull(stack,''), ifnull(site,''), ifnull(layer,-1),"
    " ifnull(window,-1), ifnull(op,''));"

    /* Clustered by base, so that a sample's cells lie together and need no index of their own. */
    "CREATE TABLE cells(base_id INTEGER NOT NULL REFERENCES bases(id) ON DELETE CASCADE, n INTEGER NOT NULL,"
    " place_id INTEGER NOT NULL REFERENCES places(id), row INTEGER, piece TEXT, head INTEGER, \"from\" TEXT,"
    " \"to\" TEXT, prob REAL, logit REAL, logit_diff REAL, p_diff REAL, effect REAL, kl REAL, rank INTEGER,"
    " PRIMARY KEY(base_id, n)) WITHOUT ROWID;"

    "CREATE TABLE checks(id INTEGER PRIMARY KEY, name TEXT, sweep TEXT, what TEXT, spec TEXT, value REAL, low REAL,"
    " high REAL, n INTEGER, created TEXT);"

    "CREATE VIEW results AS SELECT w.name AS sweep, s.\"group\" AS \"group\", s.name AS sample, b.draw AS draw,"
    " b.corrupt AS corrupt, p.stack AS stack, p.site AS site, p.layer AS layer, p.window AS window, c.row AS row,"
    " c.piece AS piece, c.head AS head, c.\"from\" AS \"from\", c.\"to\" AS \"to\", p.op AS op, c.prob AS prob,"
    " c.logit AS logit, c.logit_diff AS logit_diff, c.p_diff AS p_diff, c.effect AS effect, c.kl AS kl,"
    " c.rank AS rank, b.clean_prob AS clean_prob, b.corrupt_prob AS corrupt_prob,"
    " b.clean_logit_diff AS clean_logit_diff, b.corrupt_logit_diff AS corrupt_logit_diff, b.answer_id AS answer_id,"
    " b.answer AS answer"
    " FROM cells c JOIN bases b ON b.id = c.base_id JOIN places p ON p.id = c.place_id"
    " JOIN samples s ON s.id = b.sample_id JOIN sweeps w ON w.id = b.sweep_id;";

/* What the answer of a patched run was compared with. A control has other pairs than its samples; of one that is in a
 * database of version 1 they are not known. */
static const char version_2[] =
    "ALTER TABLE bases ADD COLUMN incorrect_id INTEGER;"
    "UPDATE bases SET incorrect_id = (SELECT " FV_STORE_INCORRECT_1
    " FROM sweeps w, samples s WHERE w.id = bases.sweep_id AND s.id = bases.sample_id);";

const char *const fv_store_scripts[FV_STORE_VERSION] = {version_1, version_2};
