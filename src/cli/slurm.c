#include "slurm.h"

#include "iddpm/study.h"

#include <stdlib.h>
#include <string.h>

/* squeue waits long for a controller that does not answer. No constant for the tests' sake. */
static double answer_seconds = 20;

struct answer {
    char out[1024], err[1024];
    int status;
};

/* Runs squeue -h -j ID -o FORMAT. False when it cannot be run. */
static bool ask(const char *id, const char *format, struct answer *answer)
{
    char *const argv[] = {"squeue", "-h", "-j", (char *)id, "-o", (char *)format, NULL};
    struct command command = {answer->out, answer->err, sizeof answer->out, sizeof answer->err, 0};
    bool runs = command_run(argv, answer_seconds, &command);
    answer->status = command.status;
    return runs;
}

/* The last line of standard output without the space around it; NULL when squeue has failed. Warnings, or what a
 * site's wrapper has to say, come on the other stream or before it. */
static const char *last_line(struct answer *answer)
{
    if (answer->status != 0) return NULL;
    size_t length = strlen(answer->out);
    while (length > 0 && strchr(" \n", answer->out[length - 1])) answer->out[--length] = 0;
    const char *line = strrchr(answer->out, '\n');
    line = line ? line + 1 : answer->out;
    return line + strspn(line, " ");
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(word, *words) != 0) words++;
    return *words != NULL;
}

/* Of a job in another state nothing is known of its processes: it waits, or is COMPLETING, while some of them may live
 * on; so may those of a node that Slurm thinks failed. */
enum job_state slurm_job_state(const char *id)
{
    static const char *const running[] = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", NULL},
                             *const ended[] = {"",          "BOOT_FAIL", "CANCELLED", "COMPLETED",
                                               "DEADLINE",  "FAILED",    "TIMEOUT",   "OUT_OF_MEMORY",
                                               "PREEMPTED", "REVOKED",   NULL};
    struct answer answer;
    if (!ask(id, "%T", &answer)) return JOB_UNKNOWN;
    const char *state = last_line(&answer);
    if (!state) return strstr(answer.err, "Invalid job id") ? JOB_ENDED : JOB_UNKNOWN; /* forgotten by now */
    return is_one_of(state, running) ? JOB_RUNNING : is_one_of(state, ended) ? JOB_ENDED : JOB_UNKNOWN;
}

/* ---- time limits ------------------------------------------------------------------------------------------------- */

/* Digits, and no more of them than a sensible duration has; moves *text behind them. */
static bool read_number(const char **text, double *out)
{
    size_t n = strspn(*text, "0123456789");
    if (n == 0 || n > 9) return false;
    *out = atof(*text); /* ends at ":" and "-" as well */
    *text += n;
    return true;
}

bool slurm_duration(const char *text, double *seconds)
{
    double days = 0, part[3];
    int n = 0;
    if (!read_number(&text, &part[n++])) return false;
    bool with_days = *text == '-';
    if (with_days) {
        days = part[0];
        n = 0;
        text++;
        if (!read_number(&text, &part[n++])) return false;
    }
    while (*text == ':' && n < 3) {
        text++;
        if (!read_number(&text, &part[n++])) return false;
    }
    /* the first is hours behind days or before two others, else minutes */
    double unit = with_days || n == 3 ? 3600 : 60;
    *seconds = days * 86400;
    for (int i = 0; i < n; i++, unit /= 60) *seconds += part[i] * unit;
    return !*text;
}

double slurm_time_left(const char *id)
{
    struct answer answer;
    double seconds;
    const char *left = ask(id, "%L", &answer) ? last_line(&answer) : NULL;
    return left && slurm_duration(left, &seconds) ? seconds : 0; /* UNLIMITED, NOT_SET */
}
