/* Submission to Slurm: job arrays of the tasks that are missing, those of an evaluation each after the training at the
 * same index. A list (STUDY/tasks/NNNN-TASK.txt) never changes: a job that is requeued reads it again. */
#include "tasks.h"

#include "lock.h"

#include <stdlib.h>
#include <string.h>

enum { ARRAY_MAX = 1001, SAID = 2048 };
#define SECONDS 120.0 /* that sbatch may take */

struct submission {
    const struct study *study;
    const struct study_tools *tools;
    struct tasks *tasks;
    struct task **members; /* of the array that is made, by index; NULL where there is none */
    int lists, arrays, submitted;
    int array_max;
    bool dry;
};

/* ---- what Slurm and the folder say ------------------------------------------------------------------------------- */

static int ask_array_max(void)
{
    static char text[1 << 16], said[SAID];
    char *const argv[] = {"scontrol", "show", "config", NULL};
    struct command command = {text, said, sizeof text, sizeof said, 0};
    int most = 0;
    const char *at = command_run(argv, SECONDS, &command) && command.status == 0 ? strstr(text, "MaxArraySize") : NULL;
    return at && sscanf(at, "MaxArraySize = %d", &most) == 1 && most > 1 ? most : ARRAY_MAX;
}

/* ---- an array ---------------------------------------------------------------------------------------------------- */

/* A line for every index: "-" where there is no member. */
static enum iddpm_status write_list(struct submission *s, int n, const char *path)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return iddpm_error(IDDPM_FAILED, "%s: no memory", path);
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++) {
        struct words words = {0};
        char *line = NULL;
        if (s->members[i]) list_name_task(stream, i, s->members[i]->point->name, s->members[i]->name);
        if (s->members[i]) status = task_words(s->study, s->members[i], &words);
        if (s->members[i] && status == IDDPM_OK) status = words_line(&words, &line);
        fprintf(stream, "%s\n", line ? line : "-");
        free(line);
        words_free(&words);
    }
    fclose(stream);
    if (status == IDDPM_OK) status = path_write_text(path, text);
    free(text);
    return status;
}

/* "0-3,7%2" */
static enum iddpm_status add_indices(const struct submission *s, int n, struct words *words)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return iddpm_error(IDDPM_FAILED, "indices of an array: no memory");
    for (int i = 0, last; i < n; i = last + 1) {
        for (last = i; last + 1 < n && s->members[i] && s->members[last + 1];) last++;
        if (!s->members[i]) continue;
        fprintf(stream, "%s%d", ftell(stream) > 0 ? "," : "", i);
        if (last > i) fprintf(stream, "-%d", last);
    }
    if (s->study->slurm.throttle > 0) fprintf(stream, "%%%lld", (long long)s->study->slurm.throttle);
    fclose(stream);
    enum iddpm_status status = words_add(words, "--array=%s", text);
    free(text);
    return status;
}

static enum iddpm_status add_resources(const struct study_slurm *slurm, struct words *words)
{
    TRY(words_add(words, "--nodes=%lld", (long long)slurm->nodes));
    TRY(words_add(words, "--ntasks-per-node=%lld", (long long)slurm->tasks_per_node));
    TRY(words_add(words, "--cpus-per-task=%lld", (long long)slurm->cpus_per_task));
    if (*slurm->time) TRY(words_add(words, "--time=%s", slurm->time));
    if (*slurm->partition) TRY(words_add(words, "--partition=%s", slurm->partition));
    for (const char *word = slurm->options + strspn(slurm->options, " "); *word;) {
        size_t n = strcspn(word, " ");
        TRY(words_add(words, "%.*s", (int)n, word));
        word += n + strspn(word + n, " ");
    }
    return IDDPM_OK;
}

/* The command line of sbatch. `kind`: a member; `after`: job whose tasks come first, "" without. */
static enum iddpm_status array_words(const struct submission *s, const struct task *kind, int n, const char *after,
                                     const char *list, struct words *words)
{
    char comment[2 * PATH_SIZE];
    TRY(words_add(words, "env"));
    TRY(words_add(words, "RETRIES=%lld", (long long)s->study->slurm.retries));
    TRY(words_add(words, "IDDPM=%s", s->tools->program));
    TRY(words_add(words, "sbatch"));
    TRY(words_add(words, "--parsable"));
    TRY(add_indices(s, n, words));
    TRY(words_add(words, "--output=%s/logs/%s-%%A_%%a.out", s->study->folder, kind->name));
    TRY(add_resources(&s->study->slurm, words));
    TRY(list_comment(list, comment, sizeof comment));
    TRY(words_add(words, "--comment=%s", comment));
    if (*after) TRY(words_add(words, "--dependency=aftercorr:%s", after));
    if (*after) TRY(words_add(words, "--kill-on-invalid-dep=yes"));
    TRY(task_script(s->tools, kind, words));
    TRY(words_add(words, "--list"));
    return words_add(words, "%s", list);
}

/* Its job, into job[JOB_TEXT]; "JOBn" when only the command is shown. */
static enum iddpm_status run_sbatch(struct submission *s, const struct words *words, char job[JOB_TEXT])
{
    char out[SAID] = "", err[SAID] = "", *line;
    struct command command = {out, err, sizeof out, sizeof err, 0};
    if (s->dry) {
        TRY(words_line(words, &line));
        printf("%s\n", line);
        free(line);
        snprintf(job, JOB_TEXT, "JOB%d", s->arrays + 1);
        return IDDPM_OK;
    }
    if (!command_run(words->of, SECONDS, &command))
        return iddpm_error(IDDPM_FAILED, "sbatch cannot be run: is Slurm here? Without it: --local RANKS");
    char *text = strrchr(out, '\n'); /* the last line, "JOB" or "JOB;CLUSTER" */
    if (text) *text = 0;
    text = strrchr(out, '\n') ? strrchr(out, '\n') + 1 : out;
    text[strcspn(text, ";")] = 0;
    if (command.status == 0 && *text && strlen(text) < JOB_TEXT && text[strspn(text, "0123456789")] == 0) {
        snprintf(job, JOB_TEXT, "%s", text);
        return IDDPM_OK;
    }
    return iddpm_error(IDDPM_FAILED, "sbatch refused an array of the study: %.1000s", *err ? err : out);
}

/* Logs have the name of one member: tasks of a unit may measure different steps. */
static enum iddpm_status record(struct submission *s, const struct task *kind, int n, const char *job)
{
    char now[TIME_TEXT], log[TASK_NAME + JOB_TEXT + 32];
    time_text(now);
    for (int i = 0; i < n; i++) {
        struct task *task = s->members[i];
        if (!task) continue;
        snprintf(log, sizeof log, "logs/%s-%s_%d.out", kind->name, job, i);
        const struct job_row row = {now, job, task->point->name, task->name, log, i, 0};
        if (!s->dry) TRY(jobs_append(s->study->folder, &row));
        task->state = STUDY_QUEUED;
        task->index = i;
        snprintf(task->job, JOB_TEXT, "%s", job);
        s->submitted++;
    }
    s->arrays++;
    return IDDPM_OK;
}

/* What jobs.csv has no room for runs unseen. When this fails too, the next submission finds it by its comment. */
static void take_back(const char *job)
{
    char out[SAID] = "", err[SAID] = "", id[JOB_TEXT];
    char *const argv[] = {"scancel", id, NULL};
    struct command command = {out, err, sizeof out, sizeof err, 0};
    snprintf(id, sizeof id, "%s", job);
    bool ended = command_run(argv, SECONDS, &command) && command.status == 0;
    log_warn("job %s, which could not be recorded, %s", job, ended ? "was cancelled" : "is in Slurm");
}

/* Submits members[0..n), not all NULL. */
static enum iddpm_status submit_array(struct submission *s, int n, const char *after)
{
    char list[PATH_SIZE], job[JOB_TEXT];
    const struct task *kind = NULL;
    struct words words = {0};
    for (int i = 0; i < n && !kind; i++) kind = s->members[i];
    if (snprintf(list, PATH_SIZE, "%s/tasks/%04d-%s.txt", s->study->folder, ++s->lists, kind->name) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "%s: the path of the study is too long", s->study->folder);
    if (!s->dry) TRY(write_list(s, n, list));
    enum iddpm_status status = array_words(s, kind, n, after, list, &words);
    if (status == IDDPM_OK) status = run_sbatch(s, &words, job);
    words_free(&words);
    if (status == IDDPM_OK && (status = record(s, kind, n, job)) != IDDPM_OK) take_back(job);
    return status;
}

/* ---- which tasks go into an array -------------------------------------------------------------------------------- */

/* The training of an evaluation's point stands before its evaluations. */
static const struct task *training_of(const struct task *task)
{
    while (task->evaluation) task--;
    return task;
}

/* What waits for nothing, in arrays as large as Slurm has them. */
static enum iddpm_status submit_free(struct submission *s, int unit)
{
    int n = 0;
    for (int i = 0; i < s->tasks->n; i++) {
        struct task *task = &s->tasks->of[i];
        if (task->unit != unit || !task_is_missing(task)) continue;
        if (task->evaluation && training_of(task)->state != STUDY_DONE) continue;
        s->members[n++] = task;
        if (n < s->array_max) continue;
        TRY(submit_array(s, n, ""));
        n = 0;
    }
    return n > 0 ? submit_array(s, n, "") : IDDPM_OK;
}

/* Evaluations after the trainings of one array, from that of `first` on, which have the same indices there. */
static enum iddpm_status submit_after(struct submission *s, int first, int unit)
{
    const char *job = training_of(&s->tasks->of[first])->job;
    int n = 0;
    memset(s->members, 0, (size_t)s->array_max * sizeof *s->members);
    for (int i = first; i < s->tasks->n; i++) {
        struct task *task = &s->tasks->of[i];
        if (task->unit != unit || !task_is_missing(task)) continue;
        const struct task *training = training_of(task);
        if (task_is_missing(training) || strcmp(training->job, job) != 0 || training->index >= s->array_max) continue;
        s->members[training->index] = task;
        if (training->index >= n) n = (int)training->index + 1;
    }
    return submit_array(s, n, job);
}

static enum iddpm_status submit_unit(struct submission *s, int unit)
{
    TRY(submit_free(s, unit));
    for (int i = 0; i < s->tasks->n; i++) {
        const struct task *task = &s->tasks->of[i];
        if (task->unit != unit || !task_is_missing(task)) continue;
        const struct task *training = training_of(task);
        bool waits = (training->state == STUDY_QUEUED || training->state == STUDY_RUNNING) && training->index >= 0 &&
                     training->index < s->array_max;
        if (waits && strcmp(training->job, "local") != 0) TRY(submit_after(s, i, unit));
    }
    return IDDPM_OK;
}

static enum iddpm_status submit_all(struct submission *s)
{
    s->array_max = s->dry ? ARRAY_MAX : ask_array_max();
    s->lists = lists_count(s->study->folder);
    TRY(mem_alloc(&s->members, (size_t)s->array_max, sizeof(struct task *), "members of an array"));
    for (int unit = 0; unit < s->tasks->units; unit++) TRY(submit_unit(s, unit));
    return IDDPM_OK;
}

static void report(const struct submission *s)
{
    int counts[STUDY_DONE + 1] = {0};
    for (int i = 0; i < s->tasks->n; i++) counts[s->tasks->of[i].state]++;
    int there = counts[STUDY_QUEUED] + counts[STUDY_RUNNING] - s->submitted;
    log_info("%s: %d tasks %s in %d arrays; %d were queued or running, %d are done", s->study->folder, s->submitted,
             s->dry ? "would be submitted" : "submitted", s->arrays, there, counts[STUDY_DONE]);
}

static enum iddpm_status submit(const struct study *study, const struct study_tools *tools, bool dry)
{
    struct tasks tasks = {0};
    struct submission s = {.study = study, .tools = tools, .tasks = &tasks, .dry = dry};
    TRY(study_check(study, study_ranks(study)));
    if (!dry) TRY(study_keep(study));
    enum iddpm_status status = tasks_read(&tasks, study, !dry, dry ? QUEUE_HELPS : QUEUE_NEEDED);
    if (status == IDDPM_OK) tasks_warn_of_strays(&tasks);
    if (status == IDDPM_OK) status = submit_all(&s);
    if (status == IDDPM_OK || s.submitted > 0) report(&s);
    free(s.members);
    tasks_free(&tasks);
    return status;
}

enum iddpm_status study_submit(const struct study *study, const struct study_tools *tools, bool dry)
{
    int lock = -1;
    if (dry) return submit(study, tools, true);
    TRY(path_make_folders(study->folder));
    TRY(lock_take(study->folder, "submit", &lock));
    enum iddpm_status status = submit(study, tools, false);
    lock_release(lock);
    return status;
}
