/* Private to src/evaluate: what long jobs that keep what they have done have in common: when to write it, and by which
 * settings it is known. */
#ifndef IDDPM_EVALUATE_PART_H
#define IDDPM_EVALUATE_PART_H

#include "iddpm/evaluate.h"

/* ---- when to write ----------------------------------------------------------------------------------------------- */

struct part_clock {
    double interval;      /* seconds between two writings, at least; they take a twentieth of the time at most */
    double written, cost; /* when last, and how long it took */
};
void part_clock_start(struct part_clock *clock, double interval);
/* Collective: whether it is time; rank 0 decides. */
bool part_clock_is_due(const struct part_clock *clock, const struct parallel *parallel);
/* Rank 0: written, what was begun at `began` (clock_seconds). */
void part_clock_wrote(struct part_clock *clock, double began);

/* ---- settings ---------------------------------------------------------------------------------------------------- */

struct store_attribute setting_text(const char *name, const char *value);
struct store_attribute setting_number(const char *name, double value);
struct store_attribute setting_integer(const char *name, int64_t value);
/* Of a name that something else may have now, which does not count when settings are compared. */
bool setting_is_a_name(const char *name);
/* What only the last bits depend on. */
bool setting_is_for_bits(const char *name);
/* Of the other model of an ensemble, which are "", -1 and so on when there is none. */
enum { ENDS_SETTINGS = 6 };
void ends_settings(const struct model *model, struct store_attribute out[ENDS_SETTINGS]);

/* As YAML, a line "name: value" each; free(). */
enum iddpm_status settings_write(int n, const struct store_attribute *settings, char **out);
/* The name of a setting that such a text lacks or has otherwise; NULL when all are the same. */
const char *settings_differ(const char *text, int n, const struct store_attribute *settings, bool bits);

#endif
