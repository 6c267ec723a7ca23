/* Private to src/study: figures are series of numbers, or tiles of pixels; what draws them with gnuplot and writes
 * their data as CSV knows nothing of their meaning. */
#ifndef IDDPM_STUDY_FIGURE_H
#define IDDPM_STUDY_FIGURE_H

#include "iddpm/data.h"
#include "iddpm/study.h"

/* ---- a figure (figure.c, figure_draw.c) ------------------------------------------------------------ */

enum { FIGURE_SERIES_MAX = 8, FIGURE_TEXT = 256, FIGURE_POINTS = 1000 }; /* more could not be told apart */

enum series_style {
    SERIES_LINE,
    SERIES_PALE,
    SERIES_POINTS,
    SERIES_LINE_POINTS,
    SERIES_DASHED,
    SERIES_RING,
    SERIES_HIDDEN
};

struct series_row {
    double x, y, low, high; /* low and high NAN: no error known */
};
struct series {
    char title[FIGURE_TEXT]; /* series of the same title share a place in the legend */
    enum series_style style;
    int panel, colour; /* colour: 0 to 7 */
    size_t n, capacity;
    struct series_row *rows;
};
struct panel {
    char label[FIGURE_TEXT]; /* of its y axis, with the unit */
    bool log;
};
struct tile {
    char title[FIGURE_TEXT];
    struct picture picture;
};
struct figure {
    char x_label[FIGURE_TEXT];
    bool log_x;
    int n_panels;
    struct panel panels[2]; /* one above the other, over the same x */
    int n_series, n_tiles;
    size_t series_capacity, tile_capacity;
    struct series *series;
    struct tile *tiles;
    int tile_columns;
    char note[FIGURE_TEXT]; /* what the caption says besides */
};
void figure_destroy(struct figure *figure);
/* A new empty series; the pointer is good until the next. */
enum iddpm_status figure_series(struct figure *figure, int panel, enum series_style style, int colour,
                                struct series **out, const char *title, ...) __attribute__((format(printf, 6, 7)));
enum iddpm_status series_add(struct series *series, double x, double y);
enum iddpm_status series_add_error(struct series *series, double x, double y, double error); /* error NAN: unknown */
/* n values, of which every k-th is taken so that there are not more than FIGURE_POINTS. */
enum iddpm_status series_add_curve(struct series *series, size_t n, const double *x, const double *y);
/* Takes the picture over. */
enum iddpm_status figure_tile(struct figure *figure, struct picture *picture, const char *title, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether anything can be seen: a number that its axes allow, or a tile. */
bool figure_shows(const struct figure *figure);
/* Whether the y axis of a panel is logarithmic: asked for, and values span enough. */
bool panel_is_log(const struct figure *figure, int panel);

/* FOLDER/NAME.png, NAME.svg and NAME.csv. */
enum iddpm_status figure_write(const struct figure *figure, const char *folder, const char *name, const char *title,
                               const char *caption);

/* ---- the figures of a study (figures.c) -------------------------------------------------------------------------- */

struct figure_input {
    const struct study *study;
    const struct study_results *results; /* may be NULL, as fits */
    const struct study_fits *fits;
    int *first_row, *next_row; /* rows of a point: first_row[point], then next_row[row], -1 at the end */
    int *curve;                /* of a point, -1: none */
};

struct figure_kind {
    const char *name, *title, *caption; /* the caption with the figure's number in the paper */
    /* Fills the figure, or says in `why` why it cannot. */
    enum iddpm_status (*fill)(const struct figure_input *in, struct figure *figure, char why[FIGURE_TEXT]);
};
extern const struct figure_kind figure_kinds[];
extern const int figure_kinds_n;
/* figure_input_free after success. */
enum iddpm_status figure_input_make(struct figure_input *in, const struct study *study,
                                    const struct study_results *results, const struct study_fits *fits);
void figure_input_free(struct figure_input *in);
/* STUDY/figures/NAME and ending, into out[PATH_SIZE]. */
enum iddpm_status figure_file(const struct study *study, const struct figure_kind *kind, const char *ending,
                              char out[PATH_SIZE]);

enum iddpm_status fill_variance_ratio(const struct figure_input *, struct figure *, char *why); /* figure_schedules.c */
enum iddpm_status fill_alpha_bar(const struct figure_input *, struct figure *, char *why);
enum iddpm_status fill_noised(const struct figure_input *, struct figure *, char *why); /* figure_noised.c */
enum iddpm_status fill_terms(const struct figure_input *, struct figure *, char *why);  /* figure_terms.c */
enum iddpm_status fill_two_checkpoints(const struct figure_input *, struct figure *, char *why);
enum iddpm_status fill_learning_curves(const struct figure_input *, struct figure *, char *why); /* figure_training.c */
enum iddpm_status fill_noise_scale(const struct figure_input *, struct figure *, char *why);
enum iddpm_status fill_overfitting(const struct figure_input *, struct figure *, char *why);
enum iddpm_status fill_sampling_steps(const struct figure_input *, struct figure *, char *why); /* figure_measured.c */
enum iddpm_status fill_compute(const struct figure_input *, struct figure *, char *why);
enum iddpm_status fill_samples(const struct figure_input *, struct figure *, char *why); /* figure_samples.c */
enum iddpm_status fill_prefix(const struct figure_input *, struct figure *, char *why);

/* ---- what they share (figure_groups.c) --------------------------------------------------------- */

/* Points that a figure does not tell apart: `best` of them, the one with the most compute, stands for all. */
struct group {
    char label[FIGURE_TEXT];
    int best, n;
};
enum grouping { BY_CONFIGURATION, BY_OBJECTIVE, BY_SIZE, BY_VARIANCE, BY_DROPOUT };
/* Points by what was configured but for seed and budget; when these are more than FIGURE_SERIES_MAX, by `otherwise`,
 * and the note says so. At most FIGURE_SERIES_MAX. */
int figure_groups(const struct study *study, enum grouping otherwise, struct group groups[FIGURE_SERIES_MAX],
                  char note[FIGURE_TEXT]);
void figure_group_label(const struct study_point *point, enum grouping by, char label[FIGURE_TEXT]);
const char *variance_name(const struct config *config);

const struct study_evaluation *find_evaluation(const struct study *study, const char *name);
/* The first likelihood over whole chains that something was measured with, else over respaced ones; NULL: none. */
const struct study_evaluation *main_evaluation(const struct figure_input *in);
/* The row of a point and evaluation at the last step; NULL: none. */
const struct study_row *last_row(const struct figure_input *in, int point, const struct study_evaluation *evaluation);

#endif
