/* Grids of samples, side by side. */
#include "figure.h"

#include <string.h>

enum { TILES_MAX = 40, TILE_SIZE = 400 /* pixels: more would not be seen */ };

/* The upper left part of large grids: whole images of them cannot be told from here, but pixels stay pixels. */
static enum iddpm_status read_part(const char *path, struct picture *out)
{
    struct picture whole;
    TRY(picture_read(&whole, path));
    if (whole.width <= 2 * TILE_SIZE && whole.height <= 2 * TILE_SIZE) {
        *out = whole;
        return IDDPM_OK;
    }
    int size = whole.width > whole.height ? whole.width : whole.height;
    enum iddpm_status status = picture_resize(&whole, whole.width * 2 * TILE_SIZE / size,
                                              whole.height * 2 * TILE_SIZE / size, FILTER_BOX, out);
    picture_destroy(&whole);
    return status;
}

/* "noise_schedule cosine, L_hybrid" in lines, as wide as a tile */
static void break_lines(char *label)
{
    for (char *at = label; (at = strstr(at, ", "));) {
        *at++ = '\n';
        memmove(at, at + 1, strlen(at));
    }
}

/* The grid of the last step that there is. */
static enum iddpm_status add_grid(const struct figure_input *in, struct figure *figure, const struct group *group,
                                  const struct study_evaluation *evaluation)
{
    const struct study_point *point = &in->study->points[group->best];
    int64_t steps[STUDY_SAVES_MAX];
    char path[PATH_SIZE], label[FIGURE_TEXT];
    memcpy(label, group->label, sizeof label);
    break_lines(label);
    for (int i = study_evaluation_steps(point, evaluation, steps) - 1; i >= 0; i--) {
        struct picture picture;
        TRY(study_result_path(point, evaluation, steps[i], path));
        if (!path_exists(path)) continue;
        if (read_part(path, &picture) == IDDPM_OK)
            return figure_tile(figure, &picture, "%s\n%s", label, evaluation->name);
        log_warn("figures: passed over: %s", iddpm_error_text());
    }
    return IDDPM_OK;
}

static bool from_prefix(const struct study_evaluation *evaluation)
{
    return strstr(evaluation->name, "start_step") != NULL;
}

static enum iddpm_status add_grids(const struct figure_input *in, struct figure *figure, bool prefix)
{
    struct group groups[FIGURE_SERIES_MAX];
    const int n = figure_groups(in->study, BY_OBJECTIVE, groups, figure->note);
    for (int g = 0; g < n; g++) {
        for (int e = 0; e < in->study->n_evaluations && figure->n_tiles < TILES_MAX; e++) {
            const struct study_evaluation *evaluation = &in->study->evaluations[e];
            if (evaluation->kind == STUDY_SAMPLE && from_prefix(evaluation) == prefix)
                TRY(add_grid(in, figure, &groups[g], evaluation));
        }
        if (figure->tile_columns == 0) figure->tile_columns = figure->n_tiles; /* a row for each group */
    }
    if (figure->n_tiles == TILES_MAX) snprintf(figure->note, FIGURE_TEXT, "The first %d grids.", TILES_MAX);
    return IDDPM_OK;
}

enum iddpm_status fill_samples(const struct figure_input *in, struct figure *figure, char *why)
{
    TRY(add_grids(in, figure, false));
    if (!figure_shows(figure)) snprintf(why, FIGURE_TEXT, "no samples were drawn yet");
    return IDDPM_OK;
}

enum iddpm_status fill_prefix(const struct figure_input *in, struct figure *figure, char *why)
{
    TRY(add_grids(in, figure, true));
    if (!figure_shows(figure))
        snprintf(why, FIGURE_TEXT, "no samples were drawn with start_step, from a later step of the reverse process");
    return IDDPM_OK;
}
