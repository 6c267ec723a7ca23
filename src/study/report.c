/* A study as one page that holds everything in itself. */
#include "figure.h"
#include "html.h"
#include "names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char head[] =
    "<style>\n"
    "body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1240px; margin: 2em auto; padding: 0 1em; }\n"
    "h1 { font-size: 1.7em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #ddd; }\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
    ".wide { overflow-x: auto; }\n"
    "th, td { padding: 0.2em 0.6em; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap; }\n"
    "th { background: #f5f5f5; } td.text, th.text { text-align: left; } td.why { white-space: normal; }\n"
    "figure { margin: 1.5em 0; } figure img { width: 100%; max-width: 1200px; border: 1px solid #e4e4e4; }\n"
    "figcaption, .note { color: #555; font-size: 0.92em; }\n"
    "pre { background: #f8f8f8; padding: 0.8em; overflow-x: auto; font-size: 0.87em; line-height: 1.35; }\n"
    "summary { cursor: pointer; }\n"
    "</style>\n";

/* ---- points ------------------------------------------------------------------------------------------------------ */

static void points_heading(FILE *out, const struct study *study, const struct study_evaluation *evaluation)
{
    fputs("<div class=\"wide\"><table>\n<thead><tr><th class=\"text\">point</th>", out);
    for (int i = 0; i < study->points[0].n_values; i++) {
        fputs("<th>", out);
        html_text(out, key_end(study->points[0].values[i].key));
        fputs("</th>", out);
    }
    fputs("<th>parameters</th><th>FLOP</th><th>steps trained</th><th>of</th><th>seconds</th><th>", out);
    html_text(out, evaluation ? evaluation->name : "likelihood");
    fputs(", bits/dim</th></tr></thead>\n<tbody>\n", out);
}

static void put_value(FILE *out, const char *text)
{
    fputs("<td>", out);
    html_text(out, text);
    fputs("</td>", out);
}

static void point_row(FILE *out, const struct figure_input *in, int p, const struct study_evaluation *evaluation)
{
    const struct study_point *point = &in->study->points[p];
    const struct study_row *row = evaluation ? last_row(in, p, evaluation) : NULL;
    fprintf(out, "<tr class=\"point\"><td class=\"text\"><a href=\"#point-%d\">", p + 1);
    html_text(out, point->name);
    fputs("</a></td>", out);
    for (int i = 0; i < in->study->points[0].n_values; i++)
        put_value(out, i < point->n_values ? point->values[i].text : "");
    fprintf(out, "<td>%.3g M</td><td>%.3g</td>", (double)point->parameters / 1e6, row ? row->flops : point->flops);
    if (row)
        fprintf(out, "<td>%lld</td>", (long long)row->step);
    else
        fputs("<td>–</td>", out);
    fprintf(out, "<td>%lld</td>", (long long)point->steps);
    if (row && isfinite(row->seconds))
        fprintf(out, "<td>%.0f</td>", row->seconds);
    else
        fputs("<td>–</td>", out);
    if (row)
        fprintf(out, "<td>%.3f ± %.3f</td></tr>\n", row->bits_per_dim, row->standard_error);
    else
        fputs("<td>–</td></tr>\n", out);
}

static void put_points(FILE *out, const struct figure_input *in)
{
    const struct study_evaluation *evaluation = main_evaluation(in);
    fputs("<h2>Points</h2>\n", out);
    points_heading(out, in->study, evaluation);
    for (int p = 0; p < in->study->n_points; p++) point_row(out, in, p, evaluation);
    fputs("</tbody></table></div>\n<p class=\"note\">FLOP: 6 × multiply-adds of a forward pass × images trained, up to "
          "the "
          "checkpoint measured, or else of the whole training. ± is the standard error over images.</p>\n",
          out);
}

/* ---- fits -------------------------------------------------------------------------------------------------------- */

static void put_interval(FILE *out, const char *format, double value, double low, double high)
{
    char text[3][64];
    snprintf(text[0], sizeof text[0], format, value);
    snprintf(text[1], sizeof text[1], format, low);
    snprintf(text[2], sizeof text[2], format, high);
    fprintf(out, "<td>%s [%s, %s]</td>", text[0], text[1], text[2]);
}

static void put_fit(FILE *out, const struct study_fit *fit)
{
    fputs("<tr class=\"fit\"><td class=\"text\">", out);
    html_text(out, fit->what);
    fputs("</td><td class=\"text\">", out);
    html_text(out, fit->evaluation);
    fputs("</td><td class=\"text\">", out);
    html_text(out, fit->measure);
    fprintf(out, "</td><td>%d</td>", fit->n);
    if (!fit->fitted) {
        fputs("<td class=\"text why\" colspan=\"6\">no fit: ", out);
        html_text(out, fit->why);
        fputs("</td></tr>\n", out);
        return;
    }
    put_interval(out, "%.3f", fit->law.l_inf, fit->low.l_inf, fit->high.l_inf);
    put_interval(out, "%.2e", fit->law.c_0, fit->low.c_0, fit->high.c_0);
    put_interval(out, "%.3f", fit->law.alpha, fit->low.alpha, fit->high.alpha);
    fprintf(out, "<td>%.4f</td>", fit->law.residual);
    if (!isfinite(fit->held_predicted)) {
        fputs("<td class=\"text\" colspan=\"2\">too few budgets</td></tr>\n", out);
        return;
    }
    put_interval(out, "%.3f", fit->held_predicted, fit->held_low, fit->held_high);
    fprintf(out, "<td>%.3f</td></tr>\n", fit->held_loss);
}

static void put_fits(FILE *out, const struct study_fits *fits)
{
    fputs("<h2>Fits</h2>\n", out);
    if (!fits || fits->n == 0) {
        fputs("<p>None.</p>\n", out);
        return;
    }
    fputs(
        "<p>L(C) = L<sub>∞</sub> + (C<sub>0</sub> / C)<sup>α</sup>, C the training compute in FLOP; 95 % intervals by "
        "bootstrap over images and seeds. The largest budget is predicted from the others.</p>\n"
        "<div class=\"wide\"><table>\n<thead><tr><th class=\"text\">of</th><th class=\"text\">evaluation</th>"
        "<th class=\"text\">measure</th><th>n</th><th>L<sub>∞</sub></th><th>C<sub>0</sub>, FLOP</th><th>α</th>"
        "<th>residual</th><th>largest budget, predicted</th><th>measured</th></tr></thead>\n<tbody>\n",
        out);
    for (int i = 0; i < fits->n; i++) put_fit(out, &fits->fits[i]);
    fputs("</tbody></table></div>\n", out);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

enum { SVG_MAX = 1 << 20 /* bytes: what is larger is smaller as PNG */ };

static enum iddpm_status put_figure(FILE *out, const struct study *study, const struct figure_kind *kind)
{
    char svg[PATH_SIZE], png[PATH_SIZE];
    struct stat about;
    TRY(figure_file(study, kind, ".svg", svg));
    TRY(figure_file(study, kind, ".png", png));
    const bool vectors = stat(svg, &about) == 0 && about.st_size <= SVG_MAX;
    if (!vectors && !path_exists(png)) return IDDPM_OK;
    fputs("<figure><img alt=\"", out);
    html_text(out, kind->title);
    fputs("\" src=\"", out);
    TRY(vectors ? html_data(out, svg, "image/svg+xml") : html_data(out, png, "image/png"));
    fputs("\"/>\n<figcaption>", out);
    html_text(out, kind->caption);
    fputs("</figcaption></figure>\n", out);
    return IDDPM_OK;
}

static enum iddpm_status put_figures(FILE *out, const struct study *study)
{
    fputs("<h2>Figures</h2>\n", out);
    for (int k = 0; k < figure_kinds_n; k++) TRY(put_figure(out, study, &figure_kinds[k]));
    return IDDPM_OK;
}

/* ---- configurations, and how it was made ------------------------------------------------------------------------- */

static void put_details(FILE *out, const char *summary, const char *text)
{
    fputs("<summary>", out);
    html_text(out, summary);
    fputs("</summary>\n<pre>", out);
    html_text(out, text);
    fputs("</pre></details>\n", out);
}

static enum iddpm_status put_configurations(FILE *out, const struct study *study)
{
    fputs("<h2>Configurations</h2>\n", out);
    for (int p = 0; p < study->n_points; p++) {
        char *text;
        TRY(config_text(study->points[p].config, &text));
        fprintf(out, "<details id=\"point-%d\">", p + 1);
        put_details(out, study->points[p].name, text);
        free(text);
    }
    return IDDPM_OK;
}

static void put_making(FILE *out, const struct study *study)
{
    static const char *const commands[] = {"submit", "collect", "fit", "figures", "report"};
    fputs("<h2>How it was made</h2>\n<p>iddpm " IDDPM_VERSION ", with</p>\n<pre>", out);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        fprintf(out, "iddpm study %-8s", commands[i]);
        html_text(out, study->file);
        fputc('\n', out);
    }
    fputs("</pre>\n", out);
    if (study->text) fputs("<details>", out), put_details(out, "study file", study->text);
    if (study->base_text) fputs("<details>", out), put_details(out, "base configuration", study->base_text);
}

/* ---- the page ---------------------------------------------------------------------------------------------------- */

static enum iddpm_status put_page(FILE *out, const struct figure_input *in)
{
    const char *title = in->study->title && *in->study->title ? in->study->title : in->study->folder;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>",
          out);
    html_text(out, title);
    fprintf(out, "</title>\n%s</head>\n<body>\n<h1>", head);
    html_text(out, title);
    fprintf(out, "</h1>\n<p>%d points, %d results of %d evaluations.</p>\n", in->study->n_points,
            in->results ? in->results->n : 0, in->study->n_evaluations);
    put_points(out, in);
    put_fits(out, in->fits);
    TRY(put_figures(out, in->study));
    TRY(put_configurations(out, in->study));
    put_making(out, in->study);
    fputs("</body>\n</html>\n", out);
    return IDDPM_OK;
}

static enum iddpm_status write_page(const struct figure_input *in)
{
    char path[PATH_SIZE], *text = NULL;
    size_t length;
    TRY(path_join(path, in->study->folder, "report.html"));
    FILE *out = open_memstream(&text, &length);
    if (!out) return iddpm_error(IDDPM_FAILED, "%s: no memory for its text", path);
    enum iddpm_status status = put_page(out, in);
    const bool whole = !ferror(out);
    if ((fclose(out) != 0 || !whole) && status == IDDPM_OK)
        status = iddpm_error(IDDPM_FAILED, "%s: no memory for its text", path);
    if (status == IDDPM_OK) status = path_write_text(path, text);
    if (status == IDDPM_OK) log_info("wrote %s", path);
    free(text);
    return status;
}

enum iddpm_status study_report(const struct study *study, const struct study_results *results,
                               const struct study_fits *fits)
{
    struct figure_input in;
    if (study->n_points < 1) return iddpm_error(IDDPM_USAGE, "%s: has no points", study->folder);
    TRY(figure_input_make(&in, study, results, fits));
    enum iddpm_status status = write_page(&in);
    figure_input_free(&in);
    return status;
}
